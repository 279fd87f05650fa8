/**
 * Be told: that a kernel has started, that its time ends soon, that it has ended.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification, showDialog, Dialog } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { EXTEND, SHOW, showError, TELL_OUTSIDE } from '../see/actions.js';
import { called } from '../see/brief.js';
import { type Compute, ICompute } from '../see/compute.js';
import type { EndCause, Kernel, KernelEvent } from '../server/types.js';
import { startAgain } from './again.js';
import { type Kind, type Notice, notice, Once } from './notices.js';
import { canTellOutside, mayTellOutside, tellOutside } from './outside.js';

/** Lab cuts a notice's text there. */
const LONGEST = 140;
const TYPES = { started: 'success', warning: 'warning', ended: 'error' } as const;

class Teller {
  constructor(
    private readonly _compute: Compute,
    private readonly _settings: ISettingRegistry.ISettings | null
  ) {
    const { store, app, trans } = _compute;
    store.changed.connect(() => this._remember());
    this._remember();
    store.told.connect((_, event) => this._take(event));
    app.commands.addCommand(TELL_OUTSIDE, {
      label: trans.__('Also notify me outside the browser tab…'),
      caption: trans.__("By the browser's own notifications, while this page is hidden"),
      // In a kernel's row it is for those that wait.
      isVisible: ({ kernel_id }) =>
        this._canAskForOutside() &&
        (typeof kernel_id !== 'string' || store.get(kernel_id)?.state === 'waiting'),
      isEnabled: () => this._canAskForOutside(),
      describedBy: { args: { type: 'object', properties: { kernel_id: { type: 'string' } } } },
      execute: () => this._askForOutside()
    });
  }

  /** Of kernels that are gone, what was known last; those of a page, so not many. */
  private _remember(): void {
    for (const kernel of this._compute.store.kernels) {
      const known = this._known.get(kernel.kernel_id);
      // What the job may use is not told any more when it has ended.
      const { usage, ends } = kernel;
      this._known.set(kernel.kernel_id, {
        ...kernel,
        usage: usage ?? known?.usage ?? null,
        ends: ends ?? (kernel.state === 'ended' ? known?.ends ?? null : null),
        notebooks: kernel.notebooks.length ? kernel.notebooks : known?.notebooks ?? []
      });
    }
  }

  private _wants(kind: Kind | 'outside'): boolean {
    const chosen = this._settings?.get(kind).composite;
    return typeof chosen === 'boolean' ? chosen : kind !== 'outside';
  }

  private _take(event: KernelEvent): void {
    const kernel = this._known.get(event.kernel_id);
    const found = notice(event, kernel, Date.now() / 1000, this._compute.trans);
    if (found && this._wants(found.kind) && this._once.isNew(found.key)) {
      this._tell(found, event, kernel);
      if (this._wants('outside')) {
        tellOutside(found.key, this._compute.trans.__('Jupyter'), found.text);
      }
    }
  }

  private _tell({ kind, text }: Notice, event: KernelEvent, kernel: Kernel | undefined): void {
    const { trans } = this._compute;
    const actions = this._actions(kind, event, kernel);
    if (text.length > LONGEST) {
      const title = kernel ? called(kernel) : trans.__('Job %1', event.job_id);
      const buttons = [Dialog.okButton({ label: trans.__('Close') })];
      actions.push({
        label: trans.__('All of it'),
        callback: event => {
          event.preventDefault(); // the notice stays, with what else it offers
          void showDialog({ title, body: text, buttons });
        }
      });
    }
    const autoClose = kind === 'started' ? 10_000 : (false as const);
    Notification.emit(text, TYPES[kind], { autoClose, actions });
  }

  private _actions(
    kind: Kind,
    event: KernelEvent,
    kernel: Kernel | undefined
  ): Notification.IAction[] {
    const { trans, app } = this._compute;
    const args = { kernel_id: event.kernel_id };
    const run = (label: string, id: string, more: object = {}): Notification.IAction => ({
      label,
      callback: () => void app.commands.execute(id, { ...args, ...more }),
      displayType: 'accent'
    });
    if (kind === 'started') {
      const outside = { label: app.commands.label(TELL_OUTSIDE), displayType: 'link' as const };
      const show = run(trans.__('Show'), SHOW);
      const ask = { ...outside, callback: () => void this._askForOutside() };
      return [this._canAskForOutside() ? ask : show]; // there is room for one
    }
    if (event.action === 'out-of-memory') {
      // Its process died of that; its job goes on, with as little memory as before.
      return kernel ? this._again(kernel, 'memory', trans.__('More memory…')) : [];
    }
    if (kind === 'warning') {
      return kernel?.ends
        ? [
            run(trans.__('Extend by 1 h'), EXTEND, { minutes: 60 }),
            { ...run(trans.__('Extend by…'), EXTEND), displayType: 'default' }
          ]
        : [];
    }
    return event.end && kernel
      ? this._again(kernel, event.end.cause, trans.__('Start again…'))
      : [];
  }

  /** A button that starts its notebook's kernel again, in another job. */
  private _again(kernel: Kernel, cause: EndCause, label: string): Notification.IAction[] {
    const { trans } = this._compute;
    if (!kernel.notebooks.length) {
      return [];
    }
    const callback = (): void =>
      void startAgain(this._compute, kernel, cause).catch((reason: unknown) =>
        showError(trans.__('Could not start %1 again', called(kernel)), reason)
      );
    return [{ label, callback, displayType: 'accent' }];
  }

  private _canAskForOutside(): boolean {
    return (
      canTellOutside() &&
      this._settings !== null &&
      window.Notification.permission !== 'denied' &&
      !(this._wants('outside') && window.Notification.permission === 'granted')
    );
  }

  private async _askForOutside(): Promise<void> {
    const { trans } = this._compute;
    try {
      const may = await mayTellOutside();
      await this._settings?.set('outside', may);
      Notification.info(
        may
          ? trans.__('You will be told by the browser, too, while this page is hidden.')
          : trans.__('The browser does not allow it; its settings for this page decide.'),
        { autoClose: 5000 }
      );
    } catch (reason) {
      await showError(trans.__('Could not change that'), reason);
    }
  }

  private readonly _known = new Map<string, Kernel>();
  private readonly _once = new Once();
}

const told: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:told',
  description: 'Tells when a kernel has started, when its time ends soon, and when it has ended.',
  autoStart: true,
  requires: [ICompute],
  optional: [ISettingRegistry, ICommandPalette],
  activate: async (
    _: JupyterFrontEnd,
    compute: Compute,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null
  ) => {
    const settings = await registry?.load(told.id).catch((reason: unknown) => {
      console.error('Settings of what is told of remote kernels:', reason);
      return null;
    });
    new Teller(compute, settings ?? null);
    palette?.addItem({ command: TELL_OUTSIDE, category: compute.trans.__('Remote Kernels') });
  }
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [told];
