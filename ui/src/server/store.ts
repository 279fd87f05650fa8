/**
 * All kernels of this user, kept by the server's events alone.
 *
 * They are asked for once, and again when the event stream was cut; an event that comes
 * while the answer is under way is newer than that, and goes over it. Pure: what it needs
 * of Lab is given to it by `kernels.ts`.
 */

import { type ISignal, Signal } from '@lumino/signaling';

import {
  KERNEL_EVENT,
  KERNELS_EVENT,
  type Kernel,
  type KernelEvent,
  type KernelsEvent
} from './types.js';

/** An event as Lab's stream has it: the schema's ID, and the event's fields. */
export type ServerEvent = { schema_id?: unknown } & Record<string, unknown>;

/** Put what has changed into a list of kernels: known ones stay in their places. */
export function merged(kernels: readonly Kernel[], { kernels: changed, gone }: KernelsEvent): Kernel[] {
  const news = new Map(changed.map(kernel => [kernel.kernel_id, kernel]));
  const without = new Set(gone);
  const result: Kernel[] = [];
  for (const kernel of kernels) {
    const id = kernel.kernel_id;
    if (!without.has(id)) {
      result.push(news.get(id) ?? kernel);
    }
    news.delete(id);
  }
  return [...result, ...[...news.values()].filter(({ kernel_id }) => !without.has(kernel_id))];
}

export class KernelStore {
  /** `list` asks the server for all kernels. */
  constructor(list: () => Promise<Kernel[]>) {
    this._list = list;
  }

  /** In the server's order, those that are new behind. */
  get kernels(): readonly Kernel[] {
    return this._kernels;
  }

  get(kernelId: string | undefined): Kernel | undefined {
    return this._kernels.find(kernel => kernel.kernel_id === kernelId);
  }

  /** Kernels came, changed or went; or `away` or `error` did. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Something happened to a kernel that people may want to be told of. */
  get told(): ISignal<this, KernelEvent> {
    return this._told;
  }

  /** Whether the server's events are cut off, so that this list may be old. */
  get away(): boolean {
    return this._away;
  }

  /** Why the server could not be asked the last time; null where it could. */
  get error(): Error | null {
    return this._error;
  }

  /** Done when the kernels have been asked for once, also if in vain. */
  get ready(): Promise<void> {
    return this._ready;
  }

  /** The event stream was cut; `refresh` is to be called once it is open again. */
  cut(): void {
    this._away = true;
    this._changed.emit();
  }

  /** Ask the server for all kernels. Never rejects: see `error`. */
  async refresh(): Promise<void> {
    const asked = ++this._asked;
    this._meanwhile = [];
    let kernels: Kernel[] | null = null;
    let error: Error | null = null;
    try {
      kernels = await this._list();
    } catch (reason) {
      error = reason instanceof Error ? reason : new Error(String(reason));
    }
    if (asked !== this._asked) {
      return; // It has been asked again, which will say more.
    }
    this._kernels = this._meanwhile.reduce(merged, kernels ?? [...this._kernels]);
    this._meanwhile = null;
    this._error = error;
    this._away &&= error !== null;
    this._setReady();
    this._changed.emit();
  }

  /** Take an event of the server's stream; those of others are none of ours. */
  take(event: ServerEvent): void {
    if (event.schema_id === KERNELS_EVENT) {
      const change = event as unknown as KernelsEvent;
      this._meanwhile?.push(change);
      this._kernels = merged(this._kernels, change);
      this._changed.emit();
    } else if (event.schema_id === KERNEL_EVENT) {
      this._told.emit(event as unknown as KernelEvent);
    }
  }

  private readonly _list: () => Promise<Kernel[]>;
  private _kernels: Kernel[] = [];
  private _away = false;
  private _error: Error | null = null;
  private _asked = 0;
  private _meanwhile: KernelsEvent[] | null = null; // while the server is asked
  private _setReady!: () => void;
  private readonly _ready = new Promise<void>(resolve => (this._setReady = resolve));
  private readonly _changed = new Signal<this, void>(this);
  private readonly _told = new Signal<this, KernelEvent>(this);
}
