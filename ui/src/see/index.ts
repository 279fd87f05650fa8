/**
 * See what runs: the panel, the section in Running, the status item, the chip.
 */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { IKernelStore } from '../server/kernels.js';
import { addActions, SHOW } from './actions.js';
import { Chip } from './chip.js';
import { Compute, ICompute, idIn } from './compute.js';
import { ComputePanel } from './panel.js';
import { section } from './running.js';

const panel: JupyterFrontEndPlugin<Compute> = {
  id: '@remote-kernels/ui:see-panel',
  description: 'A side panel with all remote kernels, and what can be done to them.',
  autoStart: true,
  requires: [IKernelStore],
  optional: [INotebookTracker, ILayoutRestorer, ICommandPalette, ITranslator],
  provides: ICompute,
  activate: (
    app: JupyterFrontEnd,
    store: IKernelStore,
    notebooks: INotebookTracker | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): Compute => {
    const trans = (translator ?? nullTranslator).load('remote_kernels');
    const compute = new Compute(app, store, trans, notebooks);
    const made = new ComputePanel(compute, translator ?? nullTranslator);
    app.shell.add(made, 'left', { rank: 210, type: 'Remote Kernels' });
    restorer?.add(made, made.id);
    app.commands.addCommand(SHOW, {
      label: trans.__('Show Compute: My Kernels and Jobs'),
      describedBy: {
        args: {
          type: 'object',
          properties: { kernel_id: { type: 'string' }, jobs: { type: 'boolean' } }
        }
      },
      execute: async ({ kernel_id: id, jobs }) => {
        app.shell.activateById(made.id);
        if (jobs === true) {
          made.showJobs();
        }
        if (typeof id === 'string') {
          await made.kernels.reveal(id);
        }
      }
    });
    palette?.addItem({ command: SHOW, category: trans.__('Remote Kernels') });
    addActions(compute, palette);
    return compute;
  }
};

const running: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:see-running',
  description: 'Remote kernels in the list of what runs.',
  autoStart: true,
  requires: [ICompute],
  optional: [IRunningSessionManagers],
  activate: (_: JupyterFrontEnd, compute: Compute, managers: IRunningSessionManagers | null) => {
    managers?.add(section(compute));
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:see-status',
  description: "The notebook's remote kernel in the status bar.",
  autoStart: true,
  requires: [ICompute],
  optional: [IStatusBar, ILabShell],
  activate: (
    _: JupyterFrontEnd,
    compute: Compute,
    bar: IStatusBar | null,
    shell: ILabShell | null
  ) => {
    const { notebooks, store } = compute;
    if (!bar || !notebooks) {
      return;
    }
    const isInFront = (): boolean => !shell || shell.currentWidget === notebooks.currentWidget;
    const item = new Chip(compute, () => (isInFront() ? compute.current : undefined));
    const changed = new Signal<object, void>(item);
    const look = (): void => {
      item.look();
      changed.emit();
    };
    store.changed.connect(look);
    shell?.currentChanged.connect(look);
    notebooks.currentChanged.connect(look);
    notebooks.widgetAdded.connect((_, { sessionContext }) => {
      sessionContext.kernelChanged.connect(look);
    });
    bar.registerStatusItem(status.id, {
      item,
      align: 'left',
      rank: 4,
      isActive: () => isInFront() && compute.current !== undefined,
      activeStateChanged: changed
    });
  }
};

const chip: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:see-chip',
  description: "The notebook's remote kernel in its toolbar.",
  autoStart: true,
  requires: [ICompute, IToolbarWidgetRegistry],
  activate: (_: JupyterFrontEnd, compute: Compute, toolbars: IToolbarWidgetRegistry) => {
    toolbars.addFactory<NotebookPanel>('Notebook', 'remote-kernel', notebook => {
      const made = new Chip(compute, () => compute.store.get(idIn(notebook)));
      notebook.sessionContext.kernelChanged.connect(made.look);
      return made;
    });
  }
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [panel, running, status, chip];
