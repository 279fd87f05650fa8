/**
 * One notebook of which a page shows the cells: whenever its kernel is connected, the
 * server is asked for what it holds, and it is told what was shown and saved.
 *
 * Made by `index.ts` for each notebook, in one of its views, whatever its kernel; of those
 * that are not ours nothing is asked.
 */

import { Notification } from '@jupyterlab/apputils';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { isOurs } from '../choose/ours.js';
import type { IKernelStore } from '../server/kernels.js';
import { cellsShown, heldCells, RestError } from '../server/rest.js';
import type { HeldMessage } from '../server/types.js';
import { Cells } from './cells.js';
import { Filling, type Parent, type Step } from './filling.js';

const NOT_FOUND = 404;

export class HeldNotebook {
  constructor(panel: NotebookPanel, store: IKernelStore, trans: TranslationBundle) {
    this._panel = panel;
    this._store = store;
    this._trans = trans;
    this._cells = new Cells(panel, trans, request => this._filling.gone(request));
    const { context, sessionContext } = panel;
    sessionContext.kernelChanged.connect((_, { newValue }) => this._take(newValue));
    store.changed.connect(this._askOnce);
    context.saveState.connect(this._onSave);
    panel.disposed.connect(() => {
      store.changed.disconnect(this._askOnce);
      this._take(null);
    });
    void context.ready.then(() => {
      this._isReady = true;
      this._askOnce();
    });
    this._take(sessionContext.session?.kernel ?? null);
  }

  /** Watch another kernel, or another connection to it. */
  private _take(kernel: Kernel.IKernelConnection | null): void {
    const old = this._kernel;
    if (old) {
      old.connectionStatusChanged.disconnect(this._onConnection);
      old.statusChanged.disconnect(this._onStatus);
      old.anyMessage.disconnect(this._onAny);
      old.iopubMessage.disconnect(this._onIOPub);
    }
    this._kernel = kernel;
    this._filling = new Filling(cell => this._cells.place(cell));
    this._hasAsked = this._isOff = false;
    if (kernel) {
      kernel.connectionStatusChanged.connect(this._onConnection);
      kernel.statusChanged.connect(this._onStatus);
      kernel.anyMessage.connect(this._onAny);
      kernel.iopubMessage.connect(this._onIOPub);
      this._askOnce();
    }
  }

  // --- what happens -----------------------------------------------------------------

  private readonly _onConnection = (_: unknown, status: Kernel.ConnectionStatus): void => {
    this._hasAsked &&= status === 'connected';
    this._askOnce();
  };

  private readonly _onStatus = (_: unknown, status: Kernel.Status): void => {
    if (status === 'restarting' || status === 'autorestarting') {
      this._do(this._filling.restarted());
    }
  };

  private readonly _onAny = (_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void => {
    const { msg_type, msg_id } = msg.header;
    const cell = msg.metadata['cellId'];
    if (direction === 'send' && msg_type === 'execute_request' && typeof cell === 'string') {
      this._filling.sent(msg_id, cell);
    } else if (direction === 'recv' && msg_type === 'execute_reply') {
      this._filling.replied((msg.parent_header as KernelMessage.IHeader).msg_id);
    }
  };

  private readonly _onIOPub = (_: unknown, message: KernelMessage.IIOPubMessage): void => {
    const { msg_type, msg_id, date } = message.header;
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    const isWanted = msg_type === 'status' || this._isOurs(this._kernel);
    if (this._isOff || !parent.msg_id || !isWanted) {
      return;
    }
    const content = message.content as HeldMessage['content'];
    const { metadata } = message;
    const held = { msg_type, msg_id, content, metadata };
    const { cell } = parent as { cell?: unknown };
    const from: Parent = {
      request: parent.msg_id,
      cell: typeof cell === 'string' ? cell : null,
      session: parent.session ?? null
    };
    this._do(this._filling.arrived(from, held, date));
    this._askIfUnclear();
  };

  private _do(steps: readonly Step[]): void {
    if (this._kernel && steps.length) {
      this._cells.do(this._kernel, steps);
    }
  }

  // --- the server -------------------------------------------------------------------

  /** Whether it is in a job: what has just started is listed only a second later. */
  private _isOurs(kernel: Kernel.IKernelConnection | null): boolean {
    const { specs } = this._panel.sessionContext.specsManager;
    return kernel !== null && (!!this._store.get(kernel.id) || isOurs(specs, kernel.name));
  }

  /** Ask, where this connection has not: all must be there, and the kernel ours. */
  private readonly _askOnce = (): void => {
    const kernel = this._kernel;
    const isConnected = kernel?.connectionStatus === 'connected';
    if (isConnected && this._isReady && !this._hasAsked && this._isOurs(kernel)) {
      this._hasAsked = true;
      void this._ask(true);
    }
  };

  private async _ask(cut: boolean): Promise<void> {
    const [kernel, filling] = [this._kernel, this._filling];
    if (!kernel || this._isOff) {
      return;
    }
    filling.asked(cut);
    const asked = (this._asked += 1);
    let steps: () => Step[];
    try {
      const { cells } = await heldCells(kernel.serverSettings, kernel.id);
      steps = () => (this._isLeftToOthers ? filling.failed() : filling.answered(cells));
    } catch (error) {
      this._isOff = error instanceof RestError && error.status === NOT_FOUND;
      steps = () => filling.failed();
      if (!this._isOff && asked === this._asked && kernel.connectionStatus === 'connected') {
        this._tell(error);
      }
    }
    // A later question is answered by what is newer, and all that came waits for it.
    if (filling === this._filling && asked === this._asked && !this._panel.isDisposed) {
      this._do(steps());
      this._askIfUnclear();
    }
  }

  private _askIfUnclear(): void {
    if (this._filling.isUnclear) {
      void this._ask(false);
    }
  }

  /** Whether other pages show the same document, and fill in the same cells. */
  private get _isLeftToOthers(): boolean {
    const { model } = this._panel.context;
    const { awareness } = model.sharedModel as { awareness?: { getStates(): Map<number, unknown> } };
    return model.collaborative === true && (awareness?.getStates().size ?? 0) > 1;
  }

  private _tell(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    Notification.error(
      this._trans.__(
        'What the cells of %1 printed while no page was open could not be fetched; it is tried again when the kernel is connected again: %2',
        this._panel.context.localPath,
        why
      ),
      { autoClose: false }
    );
  }

  private readonly _onSave = (_: unknown, state: DocumentRegistry.SaveState): void => {
    const [kernel, filling] = [this._kernel, this._filling];
    if (state === 'started') {
      this._saving = this._cells.isBusy
        ? []
        : filling.finished().filter(request => this._cells.holds(filling.cellOf(request) ?? ''));
    } else if (state === 'completed' && kernel && this._saving.length) {
      const saved = this._saving;
      cellsShown(kernel.serverSettings, kernel.id, saved).then(
        () => filling.told(saved),
        (reason: unknown) => console.warn('Saved output is still held:', reason) // told next time
      );
    }
    if (state !== 'started') {
      this._saving = [];
    }
  };

  private readonly _panel: NotebookPanel;
  private readonly _store: IKernelStore;
  private readonly _trans: TranslationBundle;
  private readonly _cells: Cells;
  private _filling!: Filling;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _isReady = false;
  private _hasAsked = false; // since the kernel was connected
  private _isOff = false; // the server cannot do this
  private _asked = 0;
  private _saving: string[] = [];
}
