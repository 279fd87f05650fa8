/**
 * What is said of a kernel in a line: in its row, the status bar, the notebook's toolbar.
 *
 * Pure: of a kernel and the time of now, it makes words.
 */

import type { GpuUsage, Job, Kernel, Usage } from '../server/types.js';
import { left, percent, size, span, state, type Translator } from '../words.js';

/** How near a kernel's time limit is. */
export type Nearness = '' | 'near' | 'last';

const NEAR = 600;
/** In the last seconds, each is shown. */
export const LAST = 120;

/** Seconds that its job was given, as far as known here. */
export function given(kernel: Kernel): number | null {
  const begun = kernel.ready ?? kernel.submitted;
  return kernel.ends === null || begun === null ? null : Math.max(0, kernel.ends - begun);
}

/** Whether it has a time limit that still runs. */
const runs = ({ ends, state }: Kernel): boolean =>
  ends !== null && !['waiting', 'ending', 'ended'].includes(state);

/** How near the end is: of a short job's time, the last quarter. */
export function nearness(kernel: Kernel, now: number): Nearness {
  const rest = runs(kernel) ? left(kernel.ends, now) : null;
  if (rest === null) {
    return '';
  }
  const quarter = (given(kernel) ?? Infinity) / 4;
  if (rest <= Math.min(LAST, quarter)) {
    return 'last';
  }
  return rest <= Math.min(NEAR, quarter) ? 'near' : '';
}

/** The time that is left, as a percentage of what was given. */
export const shareLeft = (kernel: Kernel, now: number): number | null =>
  runs(kernel) ? percent(left(kernel.ends, now), given(kernel)) : null;

/** Its time limit in the last seconds to the second, else to the minute; '' without. */
export function timeLeft(kernel: Kernel, now: number, trans: Translator): string {
  const rest = runs(kernel) ? left(kernel.ends, now) : null;
  if (rest === null) {
    return '';
  }
  return span(rest <= LAST ? rest : Math.max(60, Math.floor(rest / 60) * 60), trans);
}

/** A moment as a clock shows it, with its day where that is not today. */
export function moment(at: number, now: number): string {
  const [date, today] = [new Date(at * 1000), new Date(now * 1000)];
  const clock = { hour: '2-digit', minute: '2-digit' } as const;
  return date.toDateString() === today.toDateString()
    ? date.toLocaleTimeString([], clock)
    : date.toLocaleString([], { ...clock, weekday: 'short', day: 'numeric', month: 'short' });
}

/** What people know it by: its notebook's file name, else its kernel's name. */
export function called(kernel: Kernel): string {
  return kernel.notebooks.map(path => path.slice(path.lastIndexOf('/') + 1)).join(', ') || kernel.name;
}

/** The same with the whole paths, to tell two of one name apart. */
export function calledInFull(kernel: Kernel): string {
  return [kernel.notebooks.join(', '), kernel.name].filter(Boolean).join(' – ');
}

/** "1.5 GiB of 4 GiB", or what of it is known. */
export function memory(usage: Usage | GpuUsage | null, trans: Translator): string {
  const used = usage?.memory ?? null;
  if (!usage || used === null) {
    return '';
  }
  const whole = 'memory_total' in usage ? usage.memory_total : usage.memory_limit;
  return whole ? trans.__('%1 of %2', size(used), size(whole)) : size(used);
}

/** When a waiting one starts, as far as the scheduler says. */
export function start(kernel: Kernel, now: number, trans: Translator): string {
  const at = kernel.expected_start;
  return at === null || at < now ? '' : trans.__('starts ~%1', moment(at, now));
}

/** Its state with its node, or with its place in the queue. */
export function stateAndPlace(kernel: Kernel, now: number, trans: Translator): string {
  const word = state(kernel.state, trans);
  const rest =
    kernel.state === 'waiting'
      ? [kernel.place === null ? '' : trans.__('place %1', kernel.place), start(kernel, now, trans)]
      : [kernel.state === 'ended' ? '' : (kernel.node ?? '')];
  return [word, ...rest].filter(Boolean).join(' · ');
}

/** CPU and GPUs in a few words; memory is said elsewhere. */
export function load(usage: Usage | null, trans: Translator): string {
  const cpu = usage?.cpu_percent ?? null;
  const gpus = (usage?.gpus ?? []).map(({ utilization }) => utilization).filter(one => one !== null);
  const mean = gpus.reduce((sum, one) => sum + one, 0) / gpus.length;
  return [
    cpu === null ? '' : trans.__('CPU %1 %', Math.round(cpu)),
    gpus.length ? trans.__('GPU %1 %', Math.round(mean)) : ''
  ]
    .filter(Boolean)
    .join(' · ');
}

/** What the status bar and the toolbar show: few words, all of them, and how near the end is. */
export interface Brief {
  text: string;
  words: string;
  nearness: Nearness;
}

export function brief(kernel: Kernel, now: number, trans: Translator): Brief {
  const rest = timeLeft(kernel, now, trans);
  const used = memory(kernel.usage, trans);
  const isQuiet = kernel.state === 'running' && kernel.node !== null;
  const first = isQuiet ? String(kernel.node) : stateAndPlace(kernel, now, trans);
  const shown = [first, rest, used].filter(Boolean).join(' · ');
  const words = [
    trans.__('Kernel of %1: %2', called(kernel), state(kernel.state, trans)),
    kernel.node ? trans.__('on %1', kernel.node) : '',
    kernel.state === 'waiting' ? start(kernel, now, trans) : '',
    rest ? trans.__('%1 left', rest) : '',
    used ? trans.__('memory %1', used) : ''
  ];
  return { text: shown, words: words.filter(Boolean).join(', '), nearness: nearness(kernel, now) };
}

/** What a job of one's own is called: by its notebook, or the name that it was given. */
export const jobName = ({ notebook, name, job_id: id }: Job, trans: Translator): string =>
  notebook?.slice(notebook.lastIndexOf('/') + 1) || name || trans.__('Job %1', id);
