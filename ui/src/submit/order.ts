/**
 * What is to be submitted, while a dialog is open: from what is typed to what is sent.
 * Pure: what it asks the server for is given to it.
 */

import { type ISignal, Signal } from '@lumino/signaling';

import { textOf } from '../choose/choice.js';
import { read, type Role } from '../choose/fields.js';
import type { Job, Options, Submission } from '../server/types.js';

/** About what the batch system is to send mail. */
export type Moment = 'begin' | 'end' | 'fail';

/** The options that have a field; by the names that all batch systems share. */
export const ROLES = ['time', 'memory', 'cores', 'gpus', 'queue'] as const satisfies Role[];

export const isNotebook = (path: string): boolean => /\.ipynb$/i.test(path);

/**
 * Lines of a script that speak to a batch system, such as "#SBATCH --time=1:00:00",
 * "#$ -l h_rt=600" and "# flux: -N1": comments of one word, with an option behind it.
 */
export function directives(script: string): string[] {
  const lines = script.slice(0, 100_000).split('\n');
  return lines.filter(line => /^#\s?(\$|[A-Z]+:?|[a-z]+:)\s+-\S/.test(line)).map(line => line.trim());
}

/** Where a notebook's result and report will lie; the server puts the time into the names. */
export function beside(path: string): { folder: string; result: string; report: string } {
  const slash = path.lastIndexOf('/');
  const stem = path.slice(slash + 1).replace(/\.ipynb$/i, '');
  return {
    folder: path.slice(0, Math.max(0, slash)),
    result: `${stem}-DATE-TIME.ipynb`,
    report: `${stem}-DATE-TIME.html`
  };
}

export class Order {
  constructor(
    public path: string,
    /** Whether the path is to be typed. */
    readonly isTyped = false
  ) {}

  /** As typed, by role; "" leaves it to the script, the kernelspec or the batch system. */
  readonly texts: Partial<Record<Role, string>> = {};
  kernelspec = '';
  readonly mail = new Set<Moment>();
  to = '';
  busy = false;
  error = '';

  /** It has to be shown anew. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Change something of it; what was refused before is no more what is asked for. */
  change(how: (order: this) => void): void {
    how(this);
    this.error = '';
    this._changed.emit();
  }

  /** The path that is meant: names of files may begin and end with spaces. */
  get meant(): string {
    return this.isTyped ? this.path.trim() : this.path;
  }

  /** What is sent. */
  get submission(): Submission {
    const path = this.meant.replace(/^\/+/, '');
    const options: Options = {};
    for (const role of ROLES) {
      const value = read({ type: ['string', 'integer'] }, this.texts[role] ?? '');
      if (value !== null) {
        options[role] = value;
      }
    }
    const to = this.to.trim();
    const on = [...this.mail];
    return {
      ...(isNotebook(path) ? { notebook: path } : { script: path }),
      ...(Object.keys(options).length > 0 && { options }),
      ...(on.length > 0 && { mail: { on, ...(to && { to }) } }),
      ...(this.kernelspec && { kernelspec: this.kernelspec })
    };
  }

  /** Have it submitted by `post`; where that fails, the error's text is kept for people. */
  async submit(post: (submission: Submission) => Promise<Job>): Promise<Job | null> {
    this.change(order => (order.busy = true));
    try {
      return await post(this.submission);
    } catch (reason) {
      this.error = textOf(reason);
      return null;
    } finally {
      this.busy = false;
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
}
