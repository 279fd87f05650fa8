/**
 * Come back to a notebook: its cells fill in with what the server held.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { IKernelStore } from '../server/kernels.js';
import { HeldNotebook } from './notebook.js';

const back: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:back',
  description: 'Fills in the cells of a notebook that runs while no page shows it.',
  autoStart: true,
  requires: [IKernelStore],
  optional: [INotebookTracker, ITranslator],
  activate: (
    _: JupyterFrontEnd,
    store: IKernelStore,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('remote_kernels');
    // Views of one notebook share what is printed below its cells: one of them fills in.
    const filled = new Set<NotebookPanel['context']>();
    const take = (panel: NotebookPanel): void => {
      const { context } = panel;
      if (filled.has(context)) {
        return;
      }
      filled.add(context);
      new HeldNotebook(panel, store, trans);
      panel.disposed.connect(() => {
        filled.delete(context);
        const other = notebooks?.find(each => each.context === context && !each.isDisposed);
        if (other) {
          take(other);
        }
      });
    };
    notebooks?.forEach(take);
    notebooks?.widgetAdded.connect((_, panel) => take(panel));
  }
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [back];
