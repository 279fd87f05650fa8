/**
 * The commands "Restart on Cluster…" and "New Notebook on the Cluster…", and where they are.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette, ISessionContextDialogs } from '@jupyterlab/apputils';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { ILauncher } from '@jupyterlab/launcher';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { kernelIcon } from '@jupyterlab/ui-components';

import type { Options } from '../server/types.js';
import type { Kit } from './flows.js';
import type { Link } from './link.js';
import { ours, proposed } from './ours.js';

const RESTART = 'remote-kernels:restart-on-cluster';
const NEW = 'remote-kernels:new-notebook';

interface Places {
  tracker: INotebookTracker;
  dialogs: ISessionContextDialogs | null;
  palette: ICommandPalette | null;
  launcher: ILauncher | null;
  browser: IDefaultFileBrowser | null;
}

/** Add them; `open` is the second, filled in by a link. */
export function addCommands(
  app: JupyterFrontEnd,
  kit: Kit,
  { tracker, dialogs, palette, launcher, browser }: Places
): { open: (folder: string, link: Link | null) => Promise<void> } {
  const { commands, serviceManager } = app;
  const { trans } = kit;
  const { kernelspecs } = serviceManager;
  const isThere = (): boolean => ours(kernelspecs.specs).length > 0;

  const open = async (folder: string, link: Link | null): Promise<void> => {
    const { newNotebook } = await import('./flows.js');
    const made = await newNotebook(kit, folder, link);
    if (made && 'name' in made) {
      await commands.execute('notebook:create-new', { cwd: folder, kernelName: made.name });
    } else if (made) {
      await commands.execute('docmanager:open', { path: made.path, factory: 'Notebook' });
    }
  };

  commands.addCommand(RESTART, {
    label: trans.__('Restart on Cluster…'),
    caption: trans.__('Run this notebook on other resources, or on a compute node'),
    isEnabled: () => isThere() && tracker.currentWidget !== null,
    // Of the notebook of now, or of that with this path, with these options filled in.
    execute: async ({ path, options }) => {
      const named = path === undefined ? null : tracker.find(each => each.context.path === path);
      const panel = named ?? tracker.currentWidget;
      if (panel) {
        const { restartOnCluster } = await import('./flows.js');
        await restartOnCluster(kit, panel, dialogs, (options ?? {}) as Options);
      }
    }
  });
  commands.addCommand(NEW, {
    label: ({ isPalette }) =>
      isPalette ? trans.__('New Notebook on the Cluster…') : trans.__('Notebook on the Cluster…'),
    caption: trans.__('Choose time, memory and more for a new notebook'),
    icon: ({ isPalette }) => (isPalette ? undefined : kernelIcon),
    isEnabled: isThere,
    isVisible: isThere,
    execute: ({ cwd }) => open(typeof cwd === 'string' ? cwd : (browser?.model.path ?? ''), null)
  });
  palette?.addItem({ command: RESTART, category: trans.__('Kernel Operations') });
  palette?.addItem({ command: NEW, category: trans.__('Notebook'), args: { isPalette: true } });

  let isInLauncher = false;
  const changed = (): void => {
    if (isThere() && launcher && !isInLauncher) {
      isInLauncher = true;
      const { resources = {} } = kernelspecs.specs?.kernelspecs[proposed(kernelspecs.specs) ?? ''] ?? {};
      const kernelIconUrl = resources['logo-svg'] ?? resources['logo-64x64']; // else a letter
      launcher.add({ command: NEW, category: trans.__('Notebook'), kernelIconUrl });
    }
    commands.notifyCommandChanged(RESTART);
    commands.notifyCommandChanged(NEW);
  };
  kernelspecs.specsChanged.connect(changed);
  tracker.currentChanged.connect(() => commands.notifyCommandChanged(RESTART));
  void kernelspecs.ready.then(changed);
  return { open };
}
