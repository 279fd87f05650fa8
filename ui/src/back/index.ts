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
    const take = (panel: NotebookPanel): unknown => new HeldNotebook(panel, store, trans);
    notebooks?.forEach(take);
    notebooks?.widgetAdded.connect((_, panel) => void take(panel));
  }
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [back];
