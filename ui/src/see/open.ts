/**
 * Opens what became of a notebook, to be looked at: in Lab, without a kernel of its own.
 */

import { NotebookPanel } from '@jupyterlab/notebook';

import type { Compute } from './compute.js';

export async function openFile({ app }: Compute, path: string): Promise<void> {
  const opened: unknown = await app.commands.execute('docmanager:open', { path });
  if (opened instanceof NotebookPanel && !opened.sessionContext.isReady) {
    const context = opened.sessionContext;
    context.kernelPreference = { ...context.kernelPreference, shouldStart: false };
  }
}
