/**
 * Telling outside of the page, by the browser's own notifications.
 *
 * Only where the user said so, here and to the browser; only from a page that is hidden;
 * and of several pages one tells. Where a page can tell outside (a secure context), it also
 * has locks: a page that is seen takes the event's lock at once, the others half a second
 * later, and who has it tells.
 */

const KEEP = 60_000;
const LATER = 500;

/** Whether the browser has such notifications; over plain HTTP it has none. */
export const canTellOutside = (): boolean =>
  'Notification' in window && window.isSecureContext && 'locks' in navigator;

/** Ask the browser, which asks the user; call it in a click. */
export const mayTellOutside = async (): Promise<boolean> =>
  canTellOutside() && (await window.Notification.requestPermission()) === 'granted';

/** Tell, if nobody sees it in a page. */
export function tellOutside(key: string, title: string, body: string): void {
  if (!canTellOutside() || window.Notification.permission !== 'granted') {
    return;
  }
  const take = (tell: () => void): void =>
    void navigator.locks.request(`remote-kernels ${key}`, { ifAvailable: true }, async lock => {
      if (lock) {
        tell();
        await new Promise(resolve => setTimeout(resolve, KEEP));
      }
    });
  if (!document.hidden) {
    take(() => undefined);
    return;
  }
  setTimeout(() => {
    take(() => {
      const told = new window.Notification(title, { body, tag: key });
      told.onclick = () => {
        window.focus();
        told.close();
      };
    });
  }, LATER);
}
