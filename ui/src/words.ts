/**
 * Times, sizes and states as people read them; the same forms as `spans.py` has on the
 * server. Pure: it imports nothing of Lab. Strings stand in `trans.__('…')` itself, where
 * tools that collect them for translators look.
 */

/** What of a `TranslationBundle` is used here. */
export interface Translator {
  /** `__('%1 of %2', 3, 4)` is "3 of 4". */
  __(text: string, ...args: (string | number)[]): string;
  _n(one: string, many: string, count: number, ...args: (string | number)[]): string;
}

const fill = (text: string, args: (string | number)[]): string =>
  text.replace(/%(\d+)/g, (mark, place) => String(args[Number(place) - 1] ?? mark));

/** No translation, for tests and for what has no translator yet. */
export const english: Translator = {
  __: (text, ...args) => fill(text, args),
  _n: (one, many, count, ...args) => fill(count === 1 ? one : many, [count, ...args])
};

/** Seconds in two units at most, which is exact enough: "2 days 3 h", "40 s". */
export function span(seconds: number, trans: Translator = english): string {
  const rest = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [rest / 86400, (rest / 3600) % 24, (rest / 60) % 60];
  const units: [number, (count: number) => string][] = [
    [days, count => trans._n('%1 day', '%1 days', count)],
    [hours, count => trans.__('%1 h', count)],
    [minutes, count => trans.__('%1 min', count)],
    [rest % 60, count => trans.__('%1 s', count)]
  ];
  const first = units.findIndex(([count]) => count >= 1);
  if (first < 0) {
    return trans.__('%1 s', 0);
  }
  return units
    .slice(first, first + 2)
    .filter(([count]) => count >= 1)
    .map(([count, say]) => say(Math.floor(count)))
    .join(' ');
}

/** A number of bytes in binary units, with three digits: "512 B", "1.5 GiB". */
export function size(bytes: number): string {
  let count = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (count < 1024) {
      return `${count >= 100 ? Math.round(count) : Number(count.toPrecision(3))} ${unit}`;
    }
    count /= 1024;
  }
  return `${count.toFixed(1)} TiB`;
}

/** A share as a whole percentage, from 0 to 100; null where there is no whole. */
export function percent(part: number | null, whole: number | null): number | null {
  if (part === null || !whole) {
    return null;
  }
  return Math.min(100, Math.max(0, Math.round((100 * part) / whole)));
}

/** Seconds from `now` (both in seconds since the epoch), never less than 0. */
export function left(ends: number | null, now: number): number | null {
  return ends === null ? null : Math.max(0, ends - now);
}

/** A kernel's state in one or two words; a state that is new is said as it is. */
export function state(name: string, trans: Translator = english): string {
  switch (name) {
    case 'waiting':
      return trans.__('waiting');
    case 'starting':
      return trans.__('starting');
    case 'running':
      return trans.__('running');
    case 'lost':
      return trans.__('connection lost');
    case 'suspended':
      return trans.__('suspended');
    case 'ending':
      return trans.__('ending');
    case 'ended':
      return trans.__('ended');
    case 'unknown':
      return trans.__('not known');
    default:
      return name;
  }
}
