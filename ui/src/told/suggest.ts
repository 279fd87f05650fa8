/**
 * What to ask for when a kernel is started again after its job ended: twice of what there
 * was too little of.
 *
 * Pure. Options have the names that all batch systems understand, `memory` and `time`.
 */

import { given } from '../see/brief.js';
import type { EndCause, Kernel, Options, OptionValue } from '../server/types.js';

const UNITS: Record<string, number> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes of a size as a kernelspec has it: "4G", "500M", or a number of megabytes. */
export function bytes(value: OptionValue | undefined): number | null {
  const text = typeof value === 'number' ? `${value}` : typeof value === 'string' ? value : '';
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)/i.exec(text);
  return found ? Number(found[1]) * (UNITS[(found[2] ?? '').toUpperCase()] ?? 2 ** 20) : null;
}

/** A size as options have it, in whole units. */
function option(size: number): string {
  return size >= 2 ** 30 && size % 2 ** 30 === 0
    ? `${size / 2 ** 30}G`
    : `${Math.ceil(size / 2 ** 20)}M`;
}

/** A time as options have it, in whole minutes. */
function duration(seconds: number): string {
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:00`;
}

/**
 * Options to change after an end for this cause; none where more would not help.
 *
 * `config` is the kernelspec's, for what the kernel did not tell of itself.
 */
export function suggestion(kernel: Kernel, cause: EndCause, config: Options = {}): Options {
  const result: Options = {};
  if (cause === 'memory' || cause === 'killed') {
    const had = kernel.usage?.memory_limit ?? bytes(config.memory ?? config.mem);
    if (had) {
      result.memory = option(2 * had);
    }
  }
  const had = given(kernel);
  if (cause === 'time' && had) {
    result.time = duration(2 * Math.round(had / 60) * 60 || 2 * had);
  }
  return result;
}
