/**
 * Lab's dialog, with a selector of kernels and our form below it, which stays open while a
 * start is under way and when it was refused.
 */

import { Dialog, SessionContextDialogs } from '@jupyterlab/apputils';
import { Panel, Widget } from '@lumino/widgets';

import type { Translator } from '../words.js';
import type { Choice } from './choice.js';
import { ChoiceForm } from './form.js';

/** The kernels to select from, as Lab lists them. */
export type Groups = ReturnType<typeof SessionContextDialogs.kernelOptions>;

/** What a selector's option stands for: a kernelspec, a kernel, or none. */
export type Selected = { name?: string; id?: string } | null;

/** The body: a selector, and the form where what is selected is a kernelspec of ours. */
export class Chooser extends Panel {
  /**
   * `make` makes the choice for what is selected, null where there is nothing to choose;
   * `notes` are said above and below all that.
   */
  constructor(
    label: string,
    { groups, disabled }: Groups,
    private readonly _make: (selected: Selected) => Promise<Choice | null>,
    private readonly _trans: Translator,
    notes: { above?: string[]; form?: string } = {}
  ) {
    super();
    this.addClass('rk-Chooser');
    for (const note of notes.above ?? []) {
      this.addWidget(paragraph(note));
    }
    const text = document.createElement('label');
    text.textContent = label;
    for (const group of groups) {
      const optgroup = document.createElement('optgroup');
      optgroup.label = group.label;
      for (const { selected, text, title, value } of group.options) {
        const option = new Option(text, value, selected, selected);
        option.title = title ?? '';
        optgroup.append(option);
      }
      this._select.append(optgroup);
    }
    this._select.disabled = disabled === true;
    this._select.addEventListener('change', () => this._show());
    const node = document.createElement('div');
    node.append(text, this._select);
    text.append(' '); // the label names the select, which the dialog wraps
    this._select.id = `rk-select-${Chooser._count++}`;
    text.htmlFor = this._select.id;
    this.addWidget(new Widget({ node }));
    this.addWidget(this._below);
    this._note = notes.form ?? '';
    this._show();
  }

  /** What is selected now. */
  getValue(): Selected {
    return JSON.parse(this._select.value || 'null') as Selected;
  }

  /** What is chosen for it; null where there is nothing to choose. */
  get choice(): Promise<Choice | null> {
    return this._choice;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._made.forEach(choice => void choice.then(made => made?.dispose()));
    }
    super.dispose();
  }

  private _show(): void {
    const key = this._select.value;
    const made = this._made.get(key) ?? this._make(this.getValue());
    this._made.set(key, made);
    this._choice = made;
    void made.then(choice => {
      if (this.isDisposed || this._choice !== made) {
        return;
      }
      for (const widget of [...this._below.widgets]) {
        widget.dispose();
      }
      this.toggleClass('rk-mod-form', choice !== null);
      if (choice) {
        this._below.addWidget(new ChoiceForm(choice, this._trans));
        if (this._note) {
          this._below.addWidget(paragraph(this._note, 'rk-Choose-quiet'));
        }
      }
    });
  }

  private static _count = 0;
  private _select = document.createElement('select');
  private _below = new Panel();
  private _made = new Map<string, Promise<Choice | null>>();
  private _choice: Promise<Choice | null> = Promise.resolve(null);
  private _note: string;
}

function paragraph(text: string, className = ''): Widget {
  const node = document.createElement('p');
  node.textContent = text;
  node.className = className;
  return new Widget({ node });
}

/** A dialog whose acceptance may take its time, and may fail. */
export class ChooseDialog<T = Selected> extends Dialog<T> {
  /** `accept` says whether the dialog may close; `wanted()` there, whether it is still open. */
  constructor(
    private readonly _settings: Partial<Dialog.IOptions<T>> & {
      buttons: readonly Dialog.IButton[];
    },
    private readonly _accept: (wanted: () => boolean) => Promise<boolean>
  ) {
    super({ focusNodeSelector: 'select', ..._settings });
    this.addClass('rk-ChooseDialog');
  }

  override resolve(index?: number): void {
    const { buttons } = this._settings;
    const at = index ?? buttons.length - 1;
    if (!buttons[at].accept) {
      super.resolve(at);
    } else if (!this._isBusy) {
      this._isBusy = true;
      void this._accept(() => !this.isDisposed)
        .then(accepted => accepted && super.resolve(at))
        .finally(() => (this._isBusy = false));
    }
  }

  /** Values are judged by the server, and its words are shown: no button is disabled. */
  protected override _checkValidation(): void {
    // Nothing to check.
  }

  /** Enter starts from the selector and any field in one line, in each version of Lab. */
  protected override _evtKeydown(event: KeyboardEvent): void {
    const { target } = event;
    const isEnter = event.key === 'Enter' && !event.isComposing;
    if (isEnter && target instanceof HTMLElement && !target.closest('.jp-Dialog-footer button')) {
      const isField = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
      if (isField || target === this.node) {
        event.stopPropagation();
        event.preventDefault();
        this.resolve();
      }
      return; // a button or a disclosure of the form has an Enter of its own
    }
    super._evtKeydown(event);
  }

  private _isBusy = false;
}
