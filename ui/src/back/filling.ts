/**
 * What fills in the cells of one notebook: what the server held, then what the kernel
 * says, each message once and in order.
 *
 * Pure: it is told what the page sent, what came and what the server held, and answers
 * with steps, to be done in their order. Requests that this page sent are shown by Lab
 * itself; they are only watched here, and filled in again where the connection was cut
 * and something was missed. Called by `notebook.ts`.
 */

import type { Cell, HeldMessage } from '../server/types.js';

/** How a request ended; what is not known is null. */
export interface Ending {
  /** It was not run, or not to its end. */
  aborted: boolean;
  /** The kernel had begun with it. */
  begun: boolean;
  count: number | null;
  reply: Record<string, unknown> | null;
  started: string | null;
  ended: string | null;
}

export type Step =
  /** Clear the cell, which now shows this request. */
  | { do: 'begin'; request: string; cell: string; dropped: number }
  /** Show a message of the request, or one that updates what it displays. */
  | { do: 'show'; request: string; message: HeldMessage }
  | { do: 'end'; request: string; ending: Ending };

/** What a message says of the request that it answers. */
export interface Parent {
  request: string;
  /** The cell that it is for, as the server marks it, and who sent it. */
  cell?: string | null;
  session?: string | null;
}

const OUTPUTS = new Set([
  'stream',
  'display_data',
  'execute_result',
  'error',
  'clear_output',
  'update_display_data'
]);

type Place = (cell: Pick<Cell, 'cell_id' | 'code'>) => string | null;

/** A request of a cell. */
interface Track {
  cell: string;
  /** Lab itself shows it, since this page sent it. */
  own: boolean;
  /** It was sent after the server was asked. */
  isNew: boolean;
  /** Nothing of it was missed, as far as is known. */
  whole: boolean;
  /** Its cell was run again: it is not shown, only watched until its end. */
  passed: boolean;
  /** IDs of the messages that count as shown, those of outputs. */
  seen: Set<string>;
  /** Those of them that were shown by steps, in order. */
  shown: string[];
  /** IDs of what it displays, for updates. */
  displays: Set<string>;
  count: number | null;
  started: string | null;
  /** The kernel's time of the newest message that was held. */
  until: string | null;
  idle: boolean;
  replied: boolean;
  /** No more is to be expected, but for what its threads print. */
  over: boolean;
  /** The server knows that it is shown and saved. */
  told: boolean;
}

const track = (cell: string, own: boolean): Track => ({
  cell,
  own,
  isNew: own,
  whole: true,
  passed: false,
  seen: new Set(),
  shown: [],
  displays: new Set(),
  count: null,
  started: null,
  until: null,
  idle: false,
  replied: false,
  over: false,
  told: false
});

const isOver = ({ state }: Cell): boolean => state === 'finished' || state === 'aborted';

function displayOf(message: HeldMessage): string | null {
  const transient = message.content['transient'] as { display_id?: unknown } | undefined;
  return typeof transient?.display_id === 'string' ? transient.display_id : null;
}

export class Filling {
  /** `place` gives the ID of the notebook's cell that a request was for; null if none. */
  constructor(place: Place) {
    this._place = place;
  }

  /** Whether only the server can tell how a request ended: it is to be asked. */
  get isUnclear(): boolean {
    return this._isUnclear;
  }

  // --- what happens -----------------------------------------------------------------

  /** This page sent a request to run a cell. */
  sent(request: string, cell: string): void {
    for (const old of this._tracks.values()) {
      old.passed ||= old.cell === cell;
    }
    this._tracks.set(request, track(cell, true));
  }

  /** This page got the reply to its own request. */
  replied(request: string): void {
    const own = this._tracks.get(request);
    if (own?.own) {
      own.replied = true;
      own.over = own.idle;
    }
  }

  /** A message of the kernel came, `date` from its header. */
  arrived(parent: Parent, message: HeldMessage, date: string | null = null): Step[] {
    const own = this._tracks.get(parent.request);
    if (own?.own) {
      this._watch(own, message);
    }
    if (this._meanwhile) {
      this._meanwhile.push([parent, message, date]);
      return [];
    }
    return this._took(parent, message, date);
  }

  /** The kernel's process is started anew, as this page shows by itself. */
  restarted(): Step[] {
    const steps: Step[] = [];
    for (const [request, one] of this._tracks) {
      if (!one.over && !one.own && !one.passed) {
        steps.push(this._end(request, one, { ...NOTHING, count: one.count, begun: true }));
      }
      one.over = true;
    }
    return steps;
  }

  /** Its cell is gone; should it come back, the server still has this. */
  gone(request: string): void {
    const one = this._tracks.get(request);
    if (one && !one.own && !one.over && !one.passed) {
      this._tracks.delete(request);
    }
  }

  // --- the server -------------------------------------------------------------------

  /** The server is asked; until it answers, what comes is kept. `cut`: something may be missed. */
  asked(cut: boolean): void {
    this._isUnclear = false;
    this._meanwhile ??= [];
    for (const one of this._tracks.values()) {
      one.whole &&= one.over || !cut;
      one.isNew = false;
    }
  }

  /** The server did not answer. */
  failed(): Step[] {
    return this._goOn();
  }

  /** The server answered. */
  answered(cells: readonly Cell[]): Step[] {
    const placed = cells.map(cell => ({
      cell,
      place: this._tracks.get(cell.request)?.cell ?? this._place(cell)
    }));
    const newest = new Map(placed.map(({ cell, place }) => [place, cell.request]));
    const held = new Set(cells.map(cell => cell.request));
    for (const [request, one] of this._tracks) {
      if (one.isNew && !held.has(request)) {
        newest.set(one.cell, request);
      }
    }
    const steps: Step[] = [];
    for (const { cell, place } of placed) {
      if (place === null) {
        continue;
      }
      if (newest.get(place) === cell.request) {
        steps.push(...this._fill(cell, place));
      } else {
        const old = this._tracks.get(cell.request) ?? track(place, false);
        this._tracks.set(cell.request, old);
        old.passed = old.whole = true;
        old.over ||= isOver(cell);
      }
    }
    for (const [request, one] of this._tracks) {
      if (held.has(request)) {
        continue;
      }
      one.whole = true;
      if (!one.own && !one.over && !one.passed) {
        // Another page has shown and saved it.
        steps.push(this._end(request, one, { ...NOTHING, count: one.count, begun: true }));
      }
      one.over ||= !one.own;
    }
    this._order(cells);
    this._hasAnswer = true;
    return [...steps, ...this._goOn()];
  }

  /**
   * Requests that are shown to their end, and earlier ones of the same cells: of these
   * the server need not know any more. None before it has said which there are.
   */
  finished(): string[] {
    const cells = new Set<string>();
    const found: string[] = [];
    for (const [request, one] of this._hasAnswer ? [...this._tracks].reverse() : []) {
      if (!one.told && ((one.over && one.whole) || (one.passed && cells.has(one.cell)))) {
        cells.add(one.cell);
        found.unshift(request);
      }
    }
    return found;
  }

  /** The cell that a request was for. */
  cellOf(request: string): string | undefined {
    return this._tracks.get(request)?.cell;
  }

  /** The server knows that these are shown and saved. */
  told(requests: readonly string[]): void {
    for (const request of requests) {
      const one = this._tracks.get(request);
      if (one) {
        one.told = true;
      }
    }
    if (!this._meanwhile) {
      this._forget();
    }
  }

  // --- how --------------------------------------------------------------------------

  /** Note what Lab shows. */
  private _watch(own: Track, message: HeldMessage): void {
    if (OUTPUTS.has(message.msg_type)) {
      own.seen.add(message.msg_id);
    } else if (isIdle(message)) {
      own.idle = true;
      own.over = own.replied;
    }
  }

  /** Show what the server held of a request, or what of it is not shown yet. */
  private _fill(cell: Cell, place: string): Step[] {
    const { request } = cell;
    let one = this._tracks.get(request);
    if (one?.own && one.whole) {
      return [];
    }
    const outputs = cell.messages.filter(({ msg_type }) => OUTPUTS.has(msg_type));
    const news = outputs.filter(({ msg_id }) => !one?.seen.has(msg_id));
    const hasAll =
      news.length === 0 && (cell.dropped > 0 || cell.gone.every(id => one?.seen.has(id)));
    if (one && hasAll && (one.own ? one.over || !isOver(cell) : true)) {
      one.whole = true;
      return this._settle(cell, one);
    }
    this._sessions.add(cell.session);
    const steps: Step[] = [];
    const goesOn =
      one && !one.own && one.shown.every((id, index) => id === outputs[index]?.msg_id);
    if (!one || !goesOn) {
      one = track(place, false);
      this._tracks.set(request, one);
      steps.push({ do: 'begin', request, cell: place, dropped: cell.dropped });
    }
    for (const message of cell.messages) {
      steps.push(...this._shown(request, message));
    }
    for (const id of cell.gone) {
      one.seen.add(id);
    }
    one.until = cell.until;
    return [...steps, ...this._settle(cell, one)];
  }

  /** Note what the server knows of a request besides its messages. */
  private _settle(cell: Cell, one: Track): Step[] {
    one.count ??= cell.execution_count;
    one.started ??= cell.started;
    if (one.own || one.over || !isOver(cell)) {
      return [];
    }
    const { state, reply, started, ended } = cell;
    const aborted = state === 'aborted' || reply?.['status'] === 'aborted';
    const begun = started !== null && reply?.['status'] !== 'aborted';
    const ending = { aborted, begun, count: one.count, reply, started, ended };
    return [this._end(cell.request, one, ending)];
  }

  /** Bring the requests into the server's order; what it does not know is old or new. */
  private _order(cells: readonly Cell[]): void {
    const held = new Set(cells.map(({ request }) => request));
    const all = [...this._tracks];
    const rest = all.filter(([request]) => !held.has(request));
    const known = [...held].flatMap((id): [string, Track][] => {
      const one = this._tracks.get(id);
      return one ? [[id, one]] : [];
    });
    const old = rest.filter(([, one]) => !one.isNew);
    this._tracks = new Map([...old, ...known, ...rest.filter(([, one]) => one.isNew)]);
  }

  /** Forget what is told of; an answer that is under way may still be of before. */
  private _forget(): void {
    for (const [request, one] of this._tracks) {
      if (one.told && (one.own || one.passed)) {
        this._tracks.delete(request);
      }
    }
  }

  /** Take what came while the server was asked. */
  private _goOn(): Step[] {
    const meanwhile = this._meanwhile ?? [];
    this._meanwhile = null;
    this._forget();
    return meanwhile.flatMap(came => this._took(...came));
  }

  /**
   * Take a message of now. Requests that the same client had sent before, and that a
   * server which came later does not know before the kernel begins with them, begin here.
   */
  private _took(parent: Parent, message: HeldMessage, date: string | null): Step[] {
    const { request, cell, session } = parent;
    const begun: Step[] = [];
    const isNew = message.msg_type === 'execute_input' && !this._tracks.has(request);
    if (isNew && cell && session && this._sessions.has(session)) {
      const code = message.content['code'];
      const place = this._place({ cell_id: cell, code: typeof code === 'string' ? code : null });
      if (place !== null) {
        for (const old of this._tracks.values()) {
          old.passed ||= old.cell === place;
        }
        this._tracks.set(request, track(place, false));
        begun.push({ do: 'begin', request, cell: place, dropped: 0 });
      }
    }
    return [...begun, ...this._shown(request, message, date)];
  }

  private _shown(request: string, message: HeldMessage, date: string | null = null): Step[] {
    const one = this._tracks.get(request);
    const ours = one && !one.own && !one.passed ? one : null;
    if (one?.passed && !one.own && isIdle(message)) {
      one.over = true;
    }
    const isOld = ours?.until && date !== null && date < ours.until;
    if (ours?.seen.has(message.msg_id) || (isOld && OUTPUTS.has(message.msg_type))) {
      return []; // A notebook server may keep many messages for a page that was cut off.
    }
    const steps = this._updates(message);
    if (!ours) {
      return steps;
    }
    if (OUTPUTS.has(message.msg_type)) {
      ours.seen.add(message.msg_id);
      ours.shown.push(message.msg_id);
      const display = displayOf(message);
      if (message.msg_type !== 'update_display_data') {
        steps.push({ do: 'show', request, message });
        if (message.msg_type === 'display_data' && display !== null) {
          ours.displays.add(display);
        }
      }
    } else if (message.msg_type === 'execute_input') {
      const count = message.content['execution_count'];
      ours.count = typeof count === 'number' ? count : null;
      ours.started ??= date;
    } else if (isIdle(message) && !ours.over) {
      if (ours.count === null) {
        this._isUnclear = true; // not run, or its count is in the reply alone
      } else {
        const { count, started } = ours;
        const ending = { ...NOTHING, begun: true, count, started, ended: date };
        steps.push(this._end(request, ours, ending));
      }
    }
    return steps;
  }

  /** What a message updates of what was displayed before; of what Lab shows, Lab does. */
  private _updates(message: HeldMessage): Step[] {
    const display = displayOf(message);
    if (display === null) {
      return [];
    }
    const update = { ...message, msg_type: 'update_display_data' };
    return [...this._tracks]
      .filter(([, one]) => one.displays.has(display))
      .map(([request]) => ({ do: 'show', request, message: update }));
  }

  private _end(request: string, one: Track, ending: Ending): Step {
    one.over = true;
    return { do: 'end', request, ending };
  }

  private readonly _place: Place;
  private _tracks = new Map<string, Track>(); // by request, oldest first
  private readonly _sessions = new Set<string>(); // of clients whose cells are shown here
  private _meanwhile: [Parent, HeldMessage, string | null][] | null = null;
  private _isUnclear = false;
  private _hasAnswer = false;
}

const NOTHING: Ending = {
  aborted: false,
  begun: false,
  count: null,
  reply: null,
  started: null,
  ended: null
};

/** The same steps, with text that comes in one piece: Lab renders all of it for each. */
export function joined(steps: readonly Step[]): Step[] {
  const result: Step[] = [];
  let texts: string[] = []; // of the last step
  const join = (): void => {
    const last = result.at(-1);
    if (last?.do === 'show' && texts.length > 1) {
      const { message } = last;
      const content = { ...message.content, text: texts.join('') };
      result[result.length - 1] = { ...last, message: { ...message, content } };
    }
    texts = [];
  };
  for (const step of steps) {
    const last = result.at(-1);
    const text = textOf(step);
    if (
      text !== null &&
      textOf(last) !== null &&
      last?.do === 'show' &&
      step.do === 'show' &&
      last.request === step.request &&
      last.message.content['name'] === step.message.content['name']
    ) {
      texts.push(text);
    } else {
      join();
      result.push(step);
      texts = text === null ? [] : [text];
    }
  }
  join();
  return result;
}

function textOf(step: Step | undefined): string | null {
  if (step?.do !== 'show' || step.message.msg_type !== 'stream') {
    return null;
  }
  const { text } = step.message.content;
  return typeof text === 'string' ? text : null;
}

function isIdle({ msg_type, content }: HeldMessage): boolean {
  return msg_type === 'status' && content['execution_state'] === 'idle';
}
