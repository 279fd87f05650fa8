/**
 * Something that the server tells while somebody wants to know: jobs, partitions.
 *
 * It is asked for when it is shown, and again when it was not shown for a while, when the
 * event stream was cut, and often enough for the server to go on telling; all between
 * comes by events. Pure: what it needs of Lab is given to it.
 */

import { type ISignal, Signal } from '@lumino/signaling';

/** The server forgets after ten minutes that somebody is interested. */
export const INTEREST = 540_000;

export class Live<T> {
  /** `ask` asks the server. */
  constructor(private readonly _ask: () => Promise<T>) {}

  /** What was told last; null before that. */
  get value(): T | null {
    return this._value;
  }

  /** Why it could not be told the last time. */
  get error(): Error | null {
    return this._error;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether the panel shows it. */
  set isShown(shown: boolean) {
    this.wanted('panel', shown);
  }

  /** Whether `who` wants to know of it. */
  wanted(who: string, wanted: boolean): void {
    if (!wanted) {
      this._wanted.delete(who);
      if (!this._wanted.size) {
        clearTimeout(this._timer);
      }
    } else if (!this._wanted.has(who)) {
      this._wanted.add(who);
      void this.refresh();
    }
  }

  /** Ask, if somebody wants to know. Never rejects: see `error`. */
  async refresh(): Promise<void> {
    clearTimeout(this._timer);
    if (!this._wanted.size) {
      return;
    }
    this._timer = setTimeout(() => void this.refresh(), INTEREST);
    const asked = ++this._asked;
    try {
      const value = await this._ask();
      if (asked === this._asked) {
        this.take(value);
      }
    } catch (reason) {
      if (asked === this._asked) {
        this._error = reason instanceof Error ? reason : new Error(String(reason));
        this._changed.emit();
      }
    }
  }

  /** An event told it; an answer that is under way is older. */
  take(value: T): void {
    this._asked += 1;
    this._value = value;
    this._error = null;
    this._changed.emit();
  }

  private _value: T | null = null;
  private _error: Error | null = null;
  private _asked = 0;
  private readonly _wanted = new Set<string>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private readonly _changed = new Signal<this, void>(this);
}
