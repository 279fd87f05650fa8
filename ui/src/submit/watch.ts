/**
 * Which jobs were submitted in this browser and have not been told to have ended. Pure:
 * the browser's storage is given to it.
 *
 * The storage is for the pages to come: a page that is open tells of all that it has ever
 * known, whichever page was first.
 */

import { jobName } from '../see/brief.js';
import type { Job, Jobs } from '../server/types.js';
import type { Translator } from '../words.js';

/** A part of the browser's Storage. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const MOST = 100;

/** A job's name for people, and its number. */
export const called = (job: Job, trans: Translator): string =>
  trans.__('%1 (job %2)', jobName(job, trans), job.job_id);

/** Whether it ended as it should. */
export const isGood = ({ end }: Job): boolean => end?.cause === 'finished';

type Times = Map<string, number>;

const idOf = ({ scheduler, job_id: id }: Job): string => `${scheduler} ${id}`;

export class Watch {
  constructor(
    private readonly _store: Store,
    private readonly _key: string
  ) {
    this._times = this._read();
  }

  get isEmpty(): boolean {
    return this._times.size === 0;
  }

  add(job: Job): void {
    const [id, time] = [idOf(job), job.submitted ?? Date.now() / 1000];
    this._times.set(id, time);
    this._write(stored => stored.set(id, time));
  }

  /** Another page has added or told. */
  addStored(): void {
    this._times = new Map([...this._read(), ...this._times]);
  }

  /** Those of these that have ended and are to be told of, once. */
  take({ asked, jobs, error }: Jobs): Job[] {
    const listed = new Map(jobs.map(job => [idOf(job), job]));
    const isGone = (time: number): boolean => !error && asked !== null && asked > time;
    const over = [...this._times].filter(([id, time]) => {
      const job = listed.get(id);
      return job ? job.end !== null : isGone(time);
    });
    if (!over.length) {
      return [];
    }
    for (const [id] of over) {
      this._times.delete(id);
    }
    this._write(stored => over.forEach(([id]) => stored.delete(id)));
    return over.flatMap(([id]) => listed.get(id) ?? []);
  }

  private _read(): Times {
    try {
      const stored = JSON.parse(this._store.getItem(this._key) ?? '{}') as Record<string, number>;
      return new Map(Object.entries(stored).filter(([, time]) => typeof time === 'number'));
    } catch {
      return new Map(); // a browser without storage, or somebody else's
    }
  }

  private _write(change: (stored: Times) => void): void {
    const stored = this._read();
    change(stored);
    try {
      if (stored.size) {
        const last = [...stored].slice(-MOST);
        this._store.setItem(this._key, JSON.stringify(Object.fromEntries(last)));
      } else {
        this._store.removeItem(this._key);
      }
    } catch {
      // Then it is for this page alone.
    }
  }

  private _times: Times;
}
