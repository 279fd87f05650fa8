/**
 * A link that fills in the form: it opens the dialog, and starts nothing.
 *
 * Nor does Lab, which starts the kernel of a notebook that it opens: here the person says
 * which.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Kit } from './flows.js';
import { type Link, parse, without } from './link.js';
import { isOurs } from './ours.js';

/** Follow the link that the page was opened by, if it is one. */
export function follow(
  app: JupyterFrontEnd,
  kit: Kit,
  tracker: INotebookTracker,
  open: (folder: string, link: Link) => Promise<void>
): void {
  const link = parse(window.location.href);
  if (!link) {
    return;
  }
  const panel = link.path ? opened(tracker, link.path) : null;
  const { kernelspecs } = app.serviceManager;
  const go = async (): Promise<void> => {
    await Promise.all([app.restored, kernelspecs.ready]);
    const { specs } = kernelspecs;
    if (link.kernel in (specs?.kernelspecs ?? {}) && !isOurs(specs, link.kernel)) {
      return; // somebody else's link
    }
    forget(link);
    if (panel) {
      const { sessionContext } = await panel;
      const { selectKernel } = await import('./flows.js');
      await selectKernel(kit, sessionContext, link);
    } else {
      await open('', link);
    }
    forget(link); // Lab may have put it back, when it restored what was open
  };
  void go().catch((reason: unknown) => console.error('A link to a kernel:', reason));
}

/** Take it out of the address: what is opened again by that fills in nothing. */
function forget(link: Link): void {
  window.history.replaceState(window.history.state, '', without(window.location.href, link));
}

/** The notebook of a path, once it is opened; Lab does not start its kernel then. */
function opened(tracker: INotebookTracker, path: string): Promise<NotebookPanel> {
  return new Promise(resolve => {
    const added = (_: unknown, panel: NotebookPanel): void => {
      if (panel.context.localPath === path) {
        tracker.widgetAdded.disconnect(added);
        const { sessionContext } = panel;
        const preference = sessionContext.kernelPreference;
        sessionContext.kernelPreference = { ...preference, shouldStart: false };
        void panel.context.ready.then(() => sessionContext.initialize()).then(() => {
          const { kernelPreference } = sessionContext;
          sessionContext.kernelPreference = {
            ...kernelPreference,
            shouldStart: preference.shouldStart
          };
          resolve(panel);
        });
      }
    };
    tracker.widgetAdded.connect(added);
  });
}
