/**
 * A kernel in few words: in the status bar, and in the toolbar of its notebook.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import React from 'react';

import type { Kernel } from '../server/types.js';
import { SHOW } from './actions.js';
import { brief } from './brief.js';
import { type Compute, useClock } from './compute.js';
import { nodeIcon } from './icon.js';

/** What `kernel()` gives, live; nothing where that gives nothing. */
export class Chip extends ReactWidget {
  constructor(
    private readonly _compute: Compute,
    private readonly _kernel: () => Kernel | undefined
  ) {
    super();
    this.addClass('rk-Chip');
    _compute.store.changed.connect(this.look);
  }

  override dispose(): void {
    this._compute.store.changed.disconnect(this.look);
    super.dispose();
  }

  /** See whether there is another kernel now. */
  readonly look = (): void => {
    const kernel = this._kernel();
    if (kernel !== this._shown) {
      this._shown = kernel;
      this.update();
    }
  };

  protected override render(): React.JSX.Element | null {
    const kernel = (this._shown = this._kernel());
    return kernel ? <Words compute={this._compute} kernel={kernel} /> : null;
  }

  private _shown: Kernel | undefined;
}

function Words({ compute, kernel }: { compute: Compute; kernel: Kernel }): React.JSX.Element {
  const { clock, trans, app } = compute;
  const text = useClock(clock, now => brief(kernel, now, trans).text);
  const words = useClock(clock, now => brief(kernel, now, trans).words);
  const near = useClock(clock, now => brief(kernel, now, trans).nearness);
  return (
    <button
      type="button"
      className={`rk-Chip-button rk-mod-${near}`}
      aria-label={words}
      title={`${words}\n${kernel.text}`}
      onClick={() => void app.commands.execute(SHOW, { kernel_id: kernel.kernel_id })}
    >
      <nodeIcon.react tag="span" className="rk-Chip-icon" />
      <span className="rk-Chip-text">{text}</span>
    </button>
  );
}
