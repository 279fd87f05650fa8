/**
 * The cells of one notebook: which one a request was for, and what the steps of
 * `Filling` do to them, as running the cell in Lab does it.
 *
 * Called by `notebook.ts`. Steps are done one after the other.
 */

import type { CodeCell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';

import type { Cell, HeldMessage } from '../server/types.js';
import { type Ending, joined, type Step } from './filling.js';
import { HeldFuture } from './future.js';

/** From nbformat 4.5 on the file has the IDs of cells; before, each page makes them up. */
const WITH_IDS = 5;

export class Cells {
  /** `onGone` is called with a request that its cell shows no more. */
  constructor(
    panel: NotebookPanel,
    trans: TranslationBundle,
    onGone: (request: string) => void
  ) {
    this._panel = panel;
    this._trans = trans;
    this._onGone = onGone;
  }

  /** The ID of the cell that a request was for; null if it is not there, or not clear. */
  place({ cell_id, code }: Pick<Cell, 'cell_id' | 'code'>): string | null {
    if (cell_id !== null && this._find(cell_id)) {
      return cell_id;
    }
    const shared = this._panel.context.model.sharedModel;
    if (code === null || shared.nbformat > 4 || shared.nbformat_minor >= WITH_IDS) {
      return null;
    }
    const same = this._all().filter(cell => cell.model.sharedModel.getSource() === code);
    return same.length === 1 ? same[0].model.id : null;
  }

  /** Whether a notebook that is saved now holds what was printed below this cell. */
  holds(id: string): boolean {
    const cell = this._find(id);
    return !cell || !!cell.outputArea.future; // Lab knows none once it was reverted
  }

  /** Whether there are steps left to do. */
  get isBusy(): boolean {
    return this._steps.length > 0;
  }

  /** Do the steps, after those of before. */
  do(kernel: Kernel.IKernelConnection, steps: readonly Step[]): void {
    const isBusy = this.isBusy;
    this._steps.push(...joined(steps).map((step): [Kernel.IKernelConnection, Step] => [kernel, step]));
    if (!isBusy) {
      void this._work();
    }
  }

  private async _work(): Promise<void> {
    for (let next = this._steps[0]; next; next = this._steps[0]) {
      try {
        await this._do(...next);
      } catch (reason) {
        console.error('Output that was held:', reason);
      }
      this._steps.shift();
    }
  }

  private _do(kernel: Kernel.IKernelConnection, step: Step): Promise<void> | void {
    const future = this._futures.get(step.request);
    switch (step.do) {
      case 'begin':
        return this._begin(kernel, step.request, step.cell, step.dropped);
      case 'show':
        return future?.show(step.message);
      case 'end':
        return future && this._end(future, step.ending);
    }
  }

  /** What Lab's `CodeCell.execute` does before it sends a request. */
  private async _begin(
    kernel: Kernel.IKernelConnection,
    request: string,
    id: string,
    dropped: number
  ): Promise<void> {
    const cell = this._find(id);
    if (!cell) {
      return;
    }
    const { model } = cell;
    model.sharedModel.transact(
      () => {
        model.clearExecution();
        cell.outputHidden = false;
      },
      false,
      'silent-change'
    );
    model.executionState = 'running';
    model.trusted = true;
    const future = new HeldFuture(kernel, request, () => {
      this._futures.delete(request);
      if (kernel.isDisposed) {
        const left = this._showing(future);
        if (left) {
          left.model.executionState = 'idle'; // nothing more comes of that kernel
        }
      }
      this._onGone(request);
    });
    this._futures.set(request, future);
    cell.outputArea.future = future;
    if (dropped > 0) {
      const text = this._trans._n(
        'The output of this cell that came while no page was open was too much to be kept: its first message is missing.',
        'The output of this cell that came while no page was open was too much to be kept: its first %1 messages are missing.',
        dropped
      );
      await future.show(note(text));
    }
  }

  private async _end(future: HeldFuture, ending: Ending): Promise<void> {
    const { aborted, begun, count, reply } = ending;
    if (aborted) {
      const text = begun
        ? this._trans.__('This cell did not run to its end: its kernel ended before.')
        : this._trans.__(
            'This cell was not run: a cell before it failed, or its kernel was interrupted or ended.'
          );
      await future.show(note(text));
    }
    await future.finish(reply ?? { status: 'ok', execution_count: count });
    const cell = this._showing(future);
    if (!cell) {
      return;
    }
    cell.model.executionState = 'idle';
    cell.model.executionCount = count;
    if (this._panel.content.notebookConfig.recordTiming && begun) {
      cell.model.setMetadata('execution', timing(ending));
    }
  }

  private _all(): CodeCell[] {
    const { widgets } = this._panel.content;
    return widgets.filter((cell): cell is CodeCell => cell.model.type === 'code');
  }

  private _find(id: string): CodeCell | undefined {
    return this._all().find(cell => cell.model.id === id);
  }

  private _showing(future: HeldFuture): CodeCell | undefined {
    return this._all().find(({ outputArea }) => outputArea.future === future);
  }

  private readonly _panel: NotebookPanel;
  private readonly _trans: TranslationBundle;
  private readonly _onGone: (request: string) => void;
  private readonly _futures = new Map<string, HeldFuture>(); // by request
  private readonly _steps: [Kernel.IKernelConnection, Step][] = [];
}

/** A line of ours below a cell. */
function note(text: string): HeldMessage {
  const content = { name: 'stderr', text: `${text}\n` };
  return { msg_type: 'stream', msg_id: UUID.uuid4(), content, metadata: {} };
}

/** The times of a cell, as Lab records them; those of its own start are not known. */
function timing({ started, ended }: Ending): Record<string, string> {
  return {
    ...(started !== null && {
      'iopub.status.busy': started,
      'iopub.execute_input': started,
      'shell.execute_reply.started': started
    }),
    ...(ended !== null && { 'iopub.status.idle': ended, 'shell.execute_reply': ended })
  };
}
