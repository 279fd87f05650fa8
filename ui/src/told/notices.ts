/**
 * Which of the things that happen to kernels people are told of, and in what words.
 *
 * Pure: of an event, of what was known of its kernel, and of the time of now, it makes a
 * notice, or nothing.
 */

import { called } from '../see/brief.js';
import type { Kernel, KernelEvent } from '../server/types.js';
import { span, type Translator } from '../words.js';

/** Seconds; who has waited for less is still there. */
export const WAITED = 15;

/** What a user may turn off. */
export type Kind = 'started' | 'warning' | 'ended';

export interface Notice {
  kind: Kind;
  text: string;
  /** One thing that happened; two with the same are one. */
  key: string;
}

/** Ends that somebody wanted, or that are no end for who looks at it. */
const WANTED = ['shut-down', 'taken'];

export function notice(
  event: KernelEvent,
  kernel: Kernel | undefined,
  now: number,
  trans: Translator
): Notice | null {
  const name = kernel ? called(kernel) : trans.__('the kernel of job %1', event.job_id);
  const key = [event.kernel_id, event.job_id, event.action].join(' ');
  switch (event.action) {
    case 'running': {
      const waited = kernel?.submitted ? now - kernel.submitted : 0;
      if (waited < WAITED) {
        return null;
      }
      const time = span(waited < 120 ? waited : Math.round(waited / 60) * 60, trans);
      const text = event.node
        ? trans.__('%1: its job has started on %2, after %3.', name, event.node, time)
        : trans.__('%1: its job has started, after %2.', name, time);
      return { kind: 'started', text, key };
    }
    case 'warning':
    case 'out-of-memory':
      return { kind: 'warning', text: `${name}: ${event.text}`, key: `${key} ${event.text}` };
    case 'ended':
      if (!event.end || WANTED.includes(event.end.word)) {
        return null;
      }
      return { kind: 'ended', text: `${name}: ${event.end.text}`, key };
    default:
      return null;
  }
}

/** Takes each thing once; remembers the last ones. */
export class Once {
  constructor(private readonly _most = 500) {}

  /** Whether this is the first time. */
  isNew(key: string): boolean {
    if (this._seen.has(key)) {
      return false;
    }
    this._seen.add(key);
    if (this._seen.size > this._most) {
      for (const first of this._seen) {
        this._seen.delete(first);
        break;
      }
    }
    return true;
  }

  private readonly _seen = new Set<string>();
}
