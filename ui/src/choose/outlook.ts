/** When a kernel would start, in words. Pure. */

import type { Estimate } from '../server/types.js';
import { english, span, type Translator } from '../words.js';

const SOON = 60; // seconds

/** Say it, or nothing where something is in the way; `now` is in seconds since the epoch. */
export function outlook({ start, text, problems }: Estimate, now: number, trans: Translator = english): string {
  if (problems.length) {
    return '';
  }
  const said =
    start === null
      ? trans.__('The scheduler does not say when it would start')
      : start - now < SOON
        ? trans.__('It would start now')
        : trans.__('It would start in about %1 (%2)', span(start - now, trans), clock(start));
  return text ? `${said}: ${text}` : `${said}.`;
}

const clock = (time: number): string =>
  new Date(time * 1000).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
