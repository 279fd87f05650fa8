/**
 * The server's event stream: when it is open again, since what was said meanwhile is lost.
 *
 * Lab's `EventManager` connects again by itself, and tells nobody (services 7.4 to 7.6):
 * its socket is looked at here. Pure, but for timers.
 */

/** A part of a WebSocket. */
export interface Socket {
  readonly readyState: number;
  addEventListener(type: 'open' | 'close', listener: () => void): void;
}

const OPEN = 1;

/** How long, in ms, the stream may take to open at first; a hidden page opens none. */
export const AT_FIRST = 5000;
const LOOK = 1000;

/**
 * Call `opened` at first, once the stream is open or takes too long; then each time that
 * it is open again. `socket` gives the manager's socket of now; `closed` is called when one
 * that was open has closed.
 *
 * Returns a function that ends this.
 */
export function whenOpen(
  socket: () => Socket | null | undefined,
  opened: () => void,
  closed: () => void = () => undefined
): () => void {
  let seen: Socket | null = null; // the one that was told of
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  const look = (): void => {
    clearTimeout(timer);
    if (stopped) {
      return;
    }
    const now = socket();
    if (now && now !== seen && now.readyState === OPEN) {
      seen = now;
      now.addEventListener('close', cut);
      clearTimeout(first);
      opened();
    } else if (!now || now !== seen || now.readyState !== OPEN) {
      timer = setTimeout(look, LOOK);
    }
  };

  const cut = (): void => {
    if (!stopped) {
      closed();
    }
    look();
  };

  const first = setTimeout(opened, AT_FIRST);
  socket()?.addEventListener('open', look);
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
    clearTimeout(first);
  };
}
