/**
 * Times, sizes and counts of GPUs as people type them for any batch system. Pure.
 *
 * They serve to say what fits a queue; what only one batch system could tell (is "30"
 * minutes or seconds?) is null, and nothing is said then.
 */

import type { OptionValue } from '../server/types.js';

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 };

/** The seconds of "2h", "90m", "2:00:00", "1-12:00:00", "1-12"; null of anything else. */
export function seconds(value: OptionValue | undefined): number | null {
  if (typeof value !== 'string') {
    return null;
  }
  const unit = /^(\d{1,9})([smhd])$/i.exec(value.trim());
  if (unit) {
    return Number(unit[1]) * SECONDS[unit[2].toLowerCase()];
  }
  const clock = /^(?:(\d{1,5})-)?(\d{1,6})(?::(\d{1,2}))?(?::(\d{1,2}))?$/.exec(value.trim());
  if (!clock || (clock[1] === undefined && clock[4] === undefined)) {
    return null; // "30" and "30:00" mean one thing here, and another there
  }
  const [days, hours, minutes, rest] = clock.slice(1).map(part => Number(part ?? 0));
  return ((days * 24 + hours) * 60 + minutes) * 60 + rest;
}

/** The bytes of "8G", "500M", "1.5T"; null of anything else. */
export function bytes(value: OptionValue | undefined): number | null {
  const found = typeof value === 'string' && /^(\d+(?:\.\d+)?)([KMGT])(?:i?B)?$/i.exec(value.trim());
  return found ? Number(found[1]) * 1024 ** (1 + 'KMGT'.indexOf(found[2].toUpperCase())) : null;
}

/** A number above 0, also as text; null of anything else. */
export function count(value: OptionValue | undefined): number | null {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && /^[1-9]\d{0,8}$/.test(text.trim()) ? Number(text) : null;
}

/** How many GPUs, and of which kind ("" for any): 2, "2", "a100:2", "a100". */
export function gpus(value: OptionValue | undefined): { kind: string; count: number } | null {
  const alone = count(value);
  if (alone !== null) {
    return { kind: '', count: alone };
  }
  const found = typeof value === 'string' && /^([A-Za-z][\w.-]*)(?::([1-9]\d{0,5}))?$/.exec(value.trim());
  return found ? { kind: found[1], count: Number(found[2] ?? 1) } : null;
}
