/**
 * What the card of a queue says: what is free, how much there is, what does not fit. Pure.
 *
 * A card only tells; the server judges what is allowed.
 */

import type { Amount, Options, Queue } from '../server/types.js';
import { english, size, span, type Translator } from '../words.js';
import type { Field, Role } from './fields.js';
import { bytes, count, gpus, seconds } from './units.js';

/** What is asked for, as far as it can be understood; null is not asked for, or not known. */
export interface Wish {
  seconds: number | null;
  bytes: number | null;
  cores: number | null;
  gpus: { kind: string; count: number } | null;
}

export interface Card {
  name: string;
  isDefault: boolean;
  /** What is free now: one line each. */
  free: string[];
  /** How much there is. */
  size: string;
  note: string;
  /** Why it does not fit; it can be chosen nevertheless. */
  troubles: string[];
}

/** What the values of a form ask for. */
export function wish(roles: Map<Role, Field>, values: Options): Wish {
  const value = (role: Role): Options[string] => values[roles.get(role)?.name ?? ''] ?? null;
  return {
    seconds: seconds(value('time')),
    bytes: bytes(value('memory')),
    cores: count(value('cores')),
    gpus: gpus(value('gpus'))
  };
}

export function card(queue: Queue, wished: Wish, trans: Translator = english): Card {
  return {
    name: queue.name,
    isDefault: queue.is_default,
    free: free(queue, trans),
    size: extent(queue, trans),
    note: queue.note,
    troubles: troubles(queue, wished, trans)
  };
}

function free({ nodes, cores, gpus }: Queue, trans: Translator): string[] {
  const ofGpus = gpus.map(each => amount(each, each.kind || trans.__('GPUs'), trans));
  const first = amount(cores, trans.__('cores'), trans) || amount(nodes, trans.__('nodes'), trans);
  return [first, ...ofGpus].filter(Boolean);
}

/** How many of what are free; "" where nothing is known. */
function amount(of: Amount | null, what: string, trans: Translator): string {
  const { total = null, free = null } = of ?? {};
  if (free !== null) {
    return total === null
      ? trans.__('%1 %2 free', free, what)
      : trans.__('%1 of %2 %3 free', free, total, what);
  }
  return total === null ? '' : trans.__('%1 %2', total, what);
}

function extent(queue: Queue, trans: Translator): string {
  const { time_limit: limit, cores_per_node: cores, memory } = queue;
  return [
    limit === null ? '' : trans.__('up to %1', span(limit, trans)),
    cores === null ? '' : trans._n('%1 core a node', '%1 cores a node', cores),
    memory === null ? '' : trans.__('%1 a node', size(memory))
  ]
    .filter(Boolean)
    .join(', ');
}

function troubles(queue: Queue, wished: Wish, trans: Translator): string[] {
  const found: string[] = [];
  const { time_limit: limit, cores_per_node: cores, memory } = queue;
  if (queue.state !== 'up') {
    found.push(trans.__('It starts no jobs now (%1).', queue.state));
  }
  if (limit !== null && wished.seconds !== null && wished.seconds > limit) {
    found.push(trans.__('Its longest time is %1.', span(limit, trans)));
  }
  if (memory !== null && wished.bytes !== null && wished.bytes > memory) {
    found.push(trans.__('Its nodes have %1.', size(memory)));
  }
  if (cores !== null && wished.cores !== null && wished.cores > cores) {
    found.push(trans._n('Its nodes have %1 core.', 'Its nodes have %1 cores.', cores));
  }
  if (wished.gpus) {
    const { kind, count } = wished.gpus;
    const same = queue.gpus.filter(each => !kind || each.kind.toLowerCase() === kind.toLowerCase());
    const total = same.reduce((sum, each) => sum + (each.total ?? Infinity), 0);
    if (queue.gpus.length === 0) {
      found.push(trans.__('It has no GPUs.'));
    } else if (total < count) {
      const what = kind || trans.__('GPUs');
      found.push(trans.__('It has %1 %2.', total, what));
    }
  }
  return found;
}

/** Whether any queue has GPUs; true where that is not known. */
export function anyGpus(queues: readonly Queue[] | null): boolean {
  return !queues?.length || queues.some(queue => queue.gpus.length > 0);
}
