/**
 * The panel's list of kernels, and whether what it shows is of now.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { moment } from './brief.js';
import type { Compute } from './compute.js';
import { KernelRow } from './row.js';

export class KernelsSection extends ReactWidget {
  constructor(private readonly _compute: Compute) {
    super();
    const { trans, store } = _compute;
    this.addClass('rk-Section');
    this.title.label = trans.__('My kernels');
    store.changed.connect(this._changed);
  }

  override dispose(): void {
    this._compute.store.changed.disconnect(this._changed);
    super.dispose();
  }

  /** Open a kernel's details, and lead the eye and the keyboard there. */
  async reveal(id: string): Promise<void> {
    this._open.add(id);
    this._stop = id;
    this.update();
    await new Promise(resolve => setTimeout(resolve)); // until Lumino has asked for it
    await this.renderPromise;
    this._focus(id);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.update();
  }

  protected override render(): React.JSX.Element {
    const { trans, store } = this._compute;
    const { kernels } = store;
    const stop = kernels.some(({ kernel_id }) => kernel_id === this._stop)
      ? this._stop
      : kernels[0]?.kernel_id;
    return (
      <>
        <div role="status">{this._trouble()}</div>
        {store.error && !store.away && (
          <button
            type="button"
            className="jp-mod-styled"
            onClick={() => void store.refresh()}
          >
            {trans.__('Try again')}
          </button>
        )}
        {!kernels.length && !store.error && !store.away && (
          <p className="rk-Empty">
            {trans.__('No kernels run in jobs now. A kernel of the cluster, once started, is shown here.')}
          </p>
        )}
        <ul aria-label={trans.__('My kernels')} onKeyDown={event => this._move(event)}>
          {kernels.map(kernel => (
            <KernelRow
              key={kernel.kernel_id}
              compute={this._compute}
              kernel={kernel}
              isOpen={this._open.has(kernel.kernel_id)}
              isTabStop={kernel.kernel_id === stop}
              toggle={this._toggle}
            />
          ))}
        </ul>
      </>
    );
  }

  private _trouble(): React.JSX.Element | null {
    const { trans, store } = this._compute;
    if (store.away) {
      const since = moment(this._since, Date.now() / 1000);
      const text = trans.__('The server does not answer. This is how it was at %1.', since);
      return <p className="rk-Away">{text}</p>;
    }
    return store.error && <p className="rk-Error">{store.error.message}</p>;
  }

  private readonly _changed = (): void => {
    if (!this._compute.store.away) {
      this._since = Date.now() / 1000;
    }
    if (this.isVisible) {
      this.update();
    }
  };

  private readonly _toggle = (id: string): void => {
    if (!this._open.delete(id)) {
      this._open.add(id);
    }
    this._stop = id;
    this.update();
  };

  /** Arrows lead from row to row, as in a list. */
  private _move(event: React.KeyboardEvent): void {
    const ids = this._compute.store.kernels.map(({ kernel_id }) => kernel_id);
    const row = (event.target as Element).closest('.rk-Row-head')?.closest('[data-kernel]');
    const at = ids.indexOf(row?.getAttribute('data-kernel') ?? '');
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ids.length - 1 }[event.key];
    const id = to === undefined || at < 0 ? undefined : ids[to];
    if (id !== undefined) {
      event.preventDefault();
      this._stop = id;
      this.update();
      this._focus(id);
    }
  }

  private _focus(id: string): void {
    const row = this.node.querySelector(`[data-kernel="${CSS.escape(id)}"]`);
    const focus = (): void =>
      row?.querySelector<HTMLElement>('.rk-Row-head')?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: 'nearest' });
    focus();
    requestAnimationFrame(focus); // a row that was out of sight is drawn only then
  }

  private readonly _open = new Set<string>();
  private _stop: string | undefined; // the row that Tab comes to
  private _since = Date.now() / 1000;
}
