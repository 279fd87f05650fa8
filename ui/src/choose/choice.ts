/**
 * What is chosen for one kernelspec while a dialog is open: what the server says of it
 * comes when it comes, and nothing waits for that but who has changed a value. Pure: what
 * it asks the server for is given to it.
 */

import { type ISignal, Signal } from '@lumino/signaling';

import type { Estimate, Options, OptionValue, Queue, Start } from '../server/types.js';
import {
  accept,
  type Accepted,
  defaults,
  differing,
  type Field,
  type Role,
  type Schema,
  simple
} from './fields.js';

/** The questions to the server. */
export interface Asks {
  schema(kernelspec: string): Promise<Schema>;
  /** The queues of a kernelspec's batch system. */
  queues(kernelspec: string): Promise<Queue[]>;
  estimate(start: Start, signal: AbortSignal): Promise<Estimate>;
}

/** Where values that are not the kernelspec's came from. */
export type Source = 'notebook' | 'user' | 'link' | 'wishes';

/** Options that were chosen before, or elsewhere. */
export interface Earlier {
  source: Source;
  options: Options;
}

const PAUSE = 400; // milliseconds after the last change, until it is judged

export const textOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

export class Choice {
  schema: Schema | null = null;
  roles = new Map<Role, Field>();
  /** Null until they are known. */
  queues: Queue[] | null = null;
  estimate: Estimate | null = null;
  /** Whether an estimate is on its way. */
  estimating = false;
  /** What went wrong, by what was asked for; "start" is a refused start. */
  errors: Partial<Record<'schema' | 'queues' | 'estimate' | 'start', string>> = {};
  values: Options = {};
  base: Options = {};
  /** Of what came from elsewhere, what was not filled in. */
  leftOut: Pick<Accepted, 'unknown' | 'refused'> = { unknown: [], refused: [] };
  busy = false;
  /** All has been asked; it never fails. */
  readonly loaded: Promise<void>;

  constructor(
    private readonly _asks: Asks,
    readonly start: { name: string; path: string },
    readonly earlier: Earlier | null = null,
    private readonly _pause = PAUSE
  ) {
    this.loaded = this._load();
    void this._loadQueues();
  }

  /** It has to be shown anew. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether the values of before are still what is chosen. */
  get isEarlier(): boolean {
    return this._isEarlier;
  }

  set(name: string, value: OptionValue): void {
    this.replace({ ...this.values, [name]: value });
  }

  /** Take these values for all that there are. */
  replace(values: Options): void {
    this.values = values;
    this._isEarlier = false;
    this._isTouched = true;
    delete this.errors.start;
    this._judge();
  }

  /** Back to the kernelspec's own values. */
  reset(): void {
    this.leftOut = { unknown: [], refused: [] };
    this.replace({ ...this.base });
  }

  /**
   * What differs from the kernelspec's values. Who has changed nothing, and had chosen
   * nothing before, waits for nothing.
   */
  async options(): Promise<Options> {
    if (!this.earlier && !this._isTouched) {
      return {};
    }
    await this.loaded;
    if (!this.schema) {
      if (!this._isTouched && ['notebook', 'user'].includes(this.earlier?.source ?? '')) {
        return {}; // what was chosen before cannot be judged, the kernelspec's own is safe
      }
      throw new Error(this.errors.schema);
    }
    return differing(this.values, this.base);
  }

  /** Do what starts a kernel; an error's text is kept for people, and the answer is false. */
  async tryTo(startIt: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    delete this.errors.start;
    this._changed.emit();
    try {
      await startIt();
      return true;
    } catch (error) {
      this.errors.start = textOf(error);
      return false;
    } finally {
      this.busy = false;
      this._changed.emit();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._cancel();
    Signal.clearData(this);
  }

  private async _load(): Promise<void> {
    try {
      const schema = await this._asks.schema(this.start.name);
      this.schema = schema;
      this.roles = simple(schema);
      this.base = defaults(schema);
      const accepted = accept(schema, this.earlier?.options ?? {});
      this.leftOut = accepted;
      this.values = { ...this.base, ...accepted.options };
      this._isEarlier = this.earlier !== null;
      this._judge();
    } catch (error) {
      this.errors.schema = textOf(error);
      this._changed.emit();
    }
  }

  private async _loadQueues(): Promise<void> {
    try {
      this.queues = await this._asks.queues(this.start.name);
    } catch (error) {
      this.errors.queues = textOf(error);
    }
    this._changed.emit();
  }

  /** Ask when it would start, once nobody has typed for a while. */
  private _judge(): void {
    this._cancel();
    if (this._isDisposed) {
      return;
    }
    this.estimating = true;
    const { signal } = (this._asking = new AbortController());
    const timer = setTimeout(() => void this._ask(signal), this._pause);
    signal.addEventListener('abort', () => clearTimeout(timer));
    this._changed.emit();
  }

  private async _ask(signal: AbortSignal): Promise<void> {
    const options = differing(this.values, this.base);
    let estimate: Estimate | null = null;
    let error: string | undefined;
    try {
      estimate = await this._asks.estimate({ ...this.start, options }, signal);
    } catch (reason) {
      error = textOf(reason);
    }
    if (!signal.aborted) {
      this.estimating = false;
      this.estimate = estimate;
      this.errors = { ...this.errors, estimate: error };
      this._changed.emit();
    }
  }

  private _cancel(): void {
    this._asking?.abort();
    this._asking = null;
  }

  private _asking: AbortController | null = null;
  private _changed = new Signal<this, void>(this);
  private _isDisposed = false;
  private _isEarlier = false;
  private _isTouched = false;
}
