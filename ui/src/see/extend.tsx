/**
 * How much more time a kernel's job is to get: a dialog with a few choices.
 */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import React from 'react';

import type { Kernel } from '../server/types.js';
import { span } from '../words.js';
import { called, moment } from './brief.js';
import type { Compute } from './compute.js';

const CHOICES = [30, 60, 120];

class Minutes extends ReactWidget implements Dialog.IBodyWidget<number> {
  constructor(
    private readonly _compute: Compute,
    private readonly _kernel: Kernel,
    private readonly _accept: () => void
  ) {
    super();
    this.addClass('rk-Minutes');
  }

  getValue(): number {
    return this._minutes;
  }

  protected override render(): React.JSX.Element {
    const { trans, clock } = this._compute;
    const { ends } = this._kernel;
    const isOther = !CHOICES.includes(this._minutes);
    const choose = (minutes: number): void => {
      this._minutes = minutes;
      this.update();
    };
    return (
      <fieldset onKeyDown={event => event.key === 'Enter' && this._accept()}>
        <legend>
          {ends !== null && trans.__('Its time ends at %1. Give it more:', moment(ends, clock.now))}
        </legend>
        {CHOICES.map(minutes => (
          <label key={minutes}>
            <input
              type="radio"
              name="rk-minutes"
              checked={minutes === this._minutes}
              autoFocus={minutes === 60}
              onChange={() => choose(minutes)}
            />
            {`+ ${span(minutes * 60, trans)}`}
          </label>
        ))}
        <label>
          <input type="radio" name="rk-minutes" checked={isOther} onChange={() => choose(240)} />
          {trans.__('other, in minutes:')}
          <input
            type="number"
            className="jp-mod-styled"
            aria-label={trans.__('Minutes more')}
            min={1}
            step={1}
            value={Number.isNaN(this._minutes) ? '' : this._minutes}
            onChange={event => choose(event.currentTarget.valueAsNumber)}
          />
        </label>
      </fieldset>
    );
  }

  private _minutes = 60;
}

/** Ask for the minutes; null where none are wanted. */
export async function askMinutes(compute: Compute, kernel: Kernel): Promise<number | null> {
  const { trans } = compute;
  const dialog: Dialog<number> = new Dialog({
    title: trans.__('Extend the time of %1', called(kernel)),
    // Lab (4.6) takes Enter in a line of text, not in a choice.
    body: new Minutes(compute, kernel, () => dialog.resolve()),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.okButton({ label: trans.__('Extend') })
    ]
  });
  const { button, value } = await dialog.launch();
  return button.accept && value && value >= 1 ? Math.round(value) : null;
}
