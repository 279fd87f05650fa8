import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Cell, HeldMessage } from '../server/types.js';
import { Filling, joined, type Step } from './filling.js';

let ids = 0;
const message = (msg_type: string, content: Record<string, unknown>): HeldMessage => ({
  msg_type,
  msg_id: `m${(ids += 1)}`,
  content,
  metadata: {}
});
const line = (text: string): HeldMessage => message('stream', { name: 'stdout', text });
const display = (text: string, display_id?: string): HeldMessage =>
  message('display_data', { data: text, transient: display_id ? { display_id } : {} });
const update = (text: string, display_id: string): HeldMessage =>
  message('update_display_data', { data: text, transient: { display_id } });
const clear = (wait: boolean): HeldMessage => message('clear_output', { wait });
const begins = (count: number): HeldMessage =>
  message('execute_input', { code: '', execution_count: count });
const idle = (): HeldMessage => message('status', { execution_state: 'idle' });

const cell = (request: string, fields: Partial<Cell> = {}): Cell => ({
  request,
  cell_id: 'a',
  code: null,
  session: 's',
  state: 'running',
  execution_count: null,
  started: null,
  ended: null,
  until: null,
  reply: null,
  messages: [],
  gone: [],
  dropped: 0,
  ...fields
});

/** What cells show, by the rules of Lab's output areas. */
class Shown {
  /** By cell: the request, its outputs, and how it ended. */
  readonly cells = new Map<string, { request: string; outputs: string[]; end: string }>();
  private readonly _clears = new Set<string>();
  private readonly _displays = new Map<string, { request: string; at: number }[]>();

  do(steps: readonly Step[]): void {
    for (const step of steps) {
      const found = [...this.cells].find(([, one]) => one.request === step.request);
      if (step.do === 'begin') {
        this.cells.set(step.cell, { request: step.request, outputs: [], end: '' });
        this._clears.delete(step.request);
        this._forget(step.request);
      } else if (step.do === 'end' && found) {
        found[1].end = `${step.ending.aborted ? 'aborted ' : ''}${step.ending.count}`;
      } else if (step.do === 'show') {
        this.show(step.request, step.message);
      }
    }
  }

  show(request: string, shown: HeldMessage): void {
    const { msg_type, content } = shown;
    const one = [...this.cells.values()].find(found => found.request === request);
    if (!one || msg_type === 'status' || msg_type === 'execute_input') {
      return;
    }
    const id = (content['transient'] as { display_id?: string } | undefined)?.display_id;
    if (msg_type === 'clear_output') {
      if (content['wait']) {
        this._clears.add(request);
      } else {
        this._clear(request, one);
      }
    } else if (msg_type === 'update_display_data') {
      for (const { at } of this._shows(id).filter(shows => shows.request === request)) {
        one.outputs[at] = String(content['data']);
      }
    } else {
      if (this._clears.delete(request)) {
        this._clear(request, one);
      }
      one.outputs.push(String(content['text'] ?? content['data']));
      if (id !== undefined) {
        this.show(request, { ...shown, msg_type: 'update_display_data' });
        this._displays.set(id, [...this._shows(id), { request, at: one.outputs.length - 1 }]);
      }
    }
  }

  get text(): Record<string, string> {
    return Object.fromEntries(
      [...this.cells].map(([id, one]) => [id, [...one.outputs, one.end].join('|')])
    );
  }

  private _shows(id: string | undefined): { request: string; at: number }[] {
    return this._displays.get(id ?? '') ?? [];
  }

  private _clear(request: string, one: { outputs: string[] }): void {
    one.outputs.length = 0;
    this._forget(request);
  }

  private _forget(request: string): void {
    for (const [id, shows] of this._displays) {
      this._displays.set(id, shows.filter(shown => shown.request !== request));
    }
  }
}

/** A page whose cells are all there. */
class Page {
  readonly filling = new Filling(({ cell_id }) => cell_id);
  readonly shown = new Shown();

  came(request: string, ...messages: HeldMessage[]): this {
    for (const one of messages) {
      this.shown.do(this.filling.arrived({ request }, one));
    }
    return this;
  }

  opens(cells: Cell[], meanwhile: () => void = () => undefined): this {
    this.filling.asked(true);
    meanwhile();
    this.shown.do(this.filling.answered(cells));
    return this;
  }
}

test('A cell that runs shows what was held, then what comes, each message once.', () => {
  const held = [begins(3), line('1'), line('2')];
  const page = new Page().opens([cell('r', { messages: held })]);
  page.came('r', held[2], line('3'), idle());
  assert.deepEqual(page.shown.text, { a: '1|2|3|3' });
  assert.deepEqual(page.filling.finished(), ['r']);
});

test('What comes while the server is asked waits for its answer.', () => {
  const held = [begins(1), line('1'), line('2')];
  const page = new Page();
  page.opens([cell('r', { messages: held })], () => {
    page.came('r', held[2], line('3'));
    assert.deepEqual(page.shown.text, {});
  });
  assert.deepEqual(page.shown.text, { a: '1|2|3|' });
});

test('Where the server does not answer, what is shown goes on.', () => {
  const page = new Page().opens([cell('r', { messages: [begins(1), line('1')] })]);
  page.filling.asked(false);
  page.came('r', line('2')).came('other', line('x'));
  page.shown.do(page.filling.failed());
  assert.deepEqual(page.shown.text, { a: '1|2|' });
});

test('A finished cell shows its result and its count, and is told of once.', () => {
  const messages = [begins(7), message('execute_result', { data: '42' })];
  const page = new Page().opens([
    cell('r', { messages, state: 'finished', execution_count: 7, reply: { status: 'ok' } })
  ]);
  assert.deepEqual(page.shown.text, { a: '42|7' });
  assert.deepEqual(page.filling.finished(), ['r']);
  page.filling.told(['r']);
  assert.deepEqual(page.filling.finished(), []);
});

test('A cell that waits is shown as one that runs, and then runs.', () => {
  const page = new Page().opens([cell('r', { state: 'waiting' })]);
  assert.deepEqual(page.shown.text, { a: '' });
  page.came('r', begins(1), line('1'), idle());
  assert.deepEqual(page.shown.text, { a: '1|1' });
});

test('A request that ends before it begins is asked about.', () => {
  const page = new Page().opens([cell('r', { state: 'waiting' })]).came('r', idle());
  assert.ok(page.filling.isUnclear);
  page.filling.asked(false);
  assert.ok(!page.filling.isUnclear);
  const reply = { status: 'aborted' };
  page.shown.do(page.filling.answered([cell('r', { state: 'finished', reply })]));
  assert.deepEqual(page.shown.text, { a: 'aborted null' });
});

test('Of the requests of one cell only the last is shown; all are told of.', () => {
  const page = new Page().opens([
    cell('one', { state: 'finished', messages: [line('1')] }),
    cell('two', { state: 'finished', messages: [line('2')], execution_count: 2 })
  ]);
  assert.deepEqual(page.shown.text, { a: '2|2' });
  assert.deepEqual(page.filling.finished().sort(), ['one', 'two']);
});

test('What this page runs is left to Lab, and told of when it has ended.', () => {
  const page = new Page();
  page.filling.sent('r', 'a');
  page.opens([]);
  page.came('r', begins(1), line('1'), idle());
  assert.deepEqual(page.filling.finished(), []);
  page.filling.replied('r');
  assert.deepEqual(page.filling.finished(), ['r']);
  assert.deepEqual(page.shown.text, {});
});

test('What this page runs is filled in again where a cut took something of it.', () => {
  const page = new Page();
  const [one, two] = [line('1'), line('2')];
  page.filling.sent('r', 'a');
  page.came('r', one);
  page.opens([cell('r', { messages: [one] })]);
  assert.deepEqual(page.shown.text, {}, 'nothing was missed');
  page.opens([cell('r', { messages: [one, two] })]);
  assert.deepEqual(page.shown.text, { a: '1|2|' });
  page.came('r', line('3'));
  assert.deepEqual(page.shown.text, { a: '1|2|3|' });
});

test('A cell that is run again here is not shown by what was held.', () => {
  const page = new Page().opens([cell('old', { messages: [line('1')] })]);
  page.filling.sent('new', 'a');
  page.came('old', line('2'), idle());
  assert.deepEqual(page.shown.text, { a: '1|' });
  assert.deepEqual(page.filling.finished(), ['old']);
});

test('After a cut what was missed is added behind what is shown.', () => {
  const messages = [line('1')];
  const page = new Page().opens([cell('r', { messages })]);
  page.filling.asked(true);
  const more = [...messages, line('2')];
  const steps = page.filling.answered([cell('r', { messages: more })]);
  assert.deepEqual(
    steps.map(step => step.do),
    ['show']
  );
});

test('Output that the server had to drop stays where it is shown.', () => {
  const [one, two] = [line('1'), line('2')];
  const page = new Page().opens([cell('r', { messages: [one, two] })]);
  page.opens([cell('r', { messages: [two], gone: [one.msg_id], dropped: 1 })]);
  assert.deepEqual(page.shown.text, { a: '1|2|' });
});

test('Output that was cleared meanwhile is cleared.', () => {
  const one = line('1');
  const page = new Page().opens([cell('r', { messages: [one] })]);
  page.opens([cell('r', { gone: [one.msg_id, 'the clear'] })]);
  assert.deepEqual(page.shown.text, { a: '' });
});

test('Output that was cleared long ago is not shown when it comes late.', () => {
  const until = '2026-11-30T17:00:05.000000Z';
  const page = new Page().opens([cell('r', { messages: [line('2')], until })]);
  const late = line('1');
  page.shown.do(page.filling.arrived({ request: 'r' }, late, '2026-11-30T17:00:04.000000Z'));
  page.shown.do(page.filling.arrived({ request: 'r' }, line('3'), '2026-11-30T17:00:06.000000Z'));
  assert.deepEqual(page.shown.text, { a: '2|3|' });
});

test('A request of the same client that the server did not know begins when it runs.', () => {
  const page = new Page().opens([cell('one', { messages: [begins(1), line('1')] })]);
  const come = (session: string, request: string, id: string, ...said: HeldMessage[]): void =>
    said.forEach(one =>
      page.shown.do(page.filling.arrived({ request, session, cell: id }, one))
    );
  come('s', 'two', 'b', begins(2), line('2'), idle());
  come('another page', 'three', 'c', begins(3), line('3'), idle());
  assert.deepEqual(page.shown.text, { a: '1|', b: '2|2' });
  assert.deepEqual(page.filling.finished(), ['two']);
});

test('An update reaches what other cells show, also from a request of this page.', () => {
  const page = new Page().opens([
    cell('one', { messages: [display('0 %', 'bar')] }),
    cell('two', { cell_id: 'b', messages: [display('0', 'bar'), update('50 %', 'bar')] })
  ]);
  assert.deepEqual(page.shown.text, { a: '50 %|', b: '50 %|' });
  page.filling.sent('mine', 'c');
  page.came('mine', update('100 %', 'bar'));
  assert.deepEqual(page.shown.text, { a: '100 %|', b: '100 %|' });
});

test('What another page has shown and saved has ended here, too.', () => {
  const page = new Page().opens([cell('r', { messages: [begins(4), line('1')] })]);
  page.opens([]);
  assert.deepEqual(page.shown.text, { a: '1|4' });
});

test('A cell that is not in the notebook is left to the server.', () => {
  const filling = new Filling(() => null);
  filling.asked(true);
  assert.deepEqual(filling.answered([cell('r', { state: 'finished' })]), []);
  assert.deepEqual(filling.finished(), []);
});

test('A restart that this page sees ends what it shows, and nothing is left to tell.', () => {
  const page = new Page().opens([cell('r', { messages: [begins(4), line('1')] })]);
  page.filling.sent('mine', 'b');
  page.shown.do(page.filling.restarted());
  assert.deepEqual(page.shown.text, { a: '1|4' });
  page.opens([cell('r', { state: 'aborted' }), cell('mine', { state: 'aborted', cell_id: 'b' })]);
  assert.deepEqual(page.shown.text, { a: '1|4' });
  assert.deepEqual(page.filling.finished().sort(), ['mine', 'r']);
});

test('Text that comes in many messages is shown in one piece.', () => {
  const show = (request: string, shown: HeldMessage): Step => ({
    do: 'show',
    request,
    message: shown
  });
  const errors = message('stream', { name: 'stderr', text: 'e' });
  const steps = joined([
    show('r', line('1')),
    show('r', line('2')),
    show('r', line('3')),
    show('r', errors),
    show('q', line('4')),
    show('q', clear(true)),
    show('q', line('5'))
  ]);
  const texts = steps.map(step => step.do === 'show' && step.message.content['text']);
  assert.deepEqual(texts, ['123', 'e', '4', undefined, '5']);
});

// --- at random ----------------------------------------------------------------------

/** Numbers that look random, the same for each seed. */
function dice(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 1;
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Came = [request: string, message: HeldMessage];

/** A kernel, and what the server holds of it, as `transcript.py` does. */
class Server {
  readonly held = new Map<string, Cell>();
  readonly truth = new Shown();
  readonly queue: string[] = [];
  running: string | null = null;
  count = 0;
  private readonly _clears = new Set<string>();

  request(request: string, cell_id: string): void {
    this.held.set(request, cell(request, { cell_id, state: 'waiting' }));
    this.truth.do([{ do: 'begin', request, cell: cell_id, dropped: 0 }]);
    this.queue.push(request);
  }

  /** Note a message; it goes to all pages. */
  says(request: string, said: HeldMessage): Came {
    const one = this.held.get(request)!;
    const { msg_type, content } = said;
    if (msg_type === 'status') {
      Object.assign(one, { state: 'finished', execution_count: this.count });
    } else if (msg_type !== 'execute_input') {
      this.truth.show(request, said);
      const isClear = msg_type === 'clear_output';
      const adds = !isClear && msg_type !== 'update_display_data';
      if ((isClear && !content['wait']) || (adds && this._clears.delete(request))) {
        const cleared = one.messages.filter(kept => kept.msg_type !== 'execute_input');
        one.gone = [...one.gone, ...cleared.map(({ msg_id }) => msg_id)];
        one.messages = one.messages.filter(kept => kept.msg_type === 'execute_input');
      }
      if (isClear && !content['wait']) {
        one.gone = [...one.gone, said.msg_id];
        return [request, said];
      } else if (isClear) {
        this._clears.add(request);
      }
    }
    if (msg_type !== 'status') {
      one.messages = [...one.messages, said];
    }
    return [request, said];
  }

  cells(): Cell[] {
    return [...this.held.values()].map(one => ({ ...one }));
  }
}

/** A page at the end of a slow connection, in a Lab that shows what the page runs. */
class Browser {
  page = new Page();
  connected = false;
  asked = false;
  answer: Cell[] | null = null;
  version = -1; // of the file
  readonly under_way: Came[] = [];
  private _labs = new Set<string>();

  load(version: number, cells: Map<string, string[]>): void {
    this.cut();
    this.page = new Page();
    this._labs = new Set();
    this.version = version;
    for (const [id, outputs] of cells) {
      this.page.shown.cells.set(id, { request: 'saved', outputs: [...outputs], end: '' });
    }
  }

  cut(): void {
    this.connected = this.asked = false;
    this.answer = null;
    this.under_way.length = 0;
    this.do(this.page.filling.failed());
  }

  connect(): void {
    this.connected = this.asked = true;
    this.page.filling.asked(true);
  }

  send(request: string, cell_id: string): void {
    this.page.filling.sent(request, cell_id);
    this._labs.add(request);
    this.page.shown.do([{ do: 'begin', request, cell: cell_id, dropped: 0 }]);
  }

  deliver(): void {
    const came = this.under_way.shift();
    if (came) {
      if (this._labs.has(came[0])) {
        this.page.shown.show(...came);
        if (came[1].msg_type === 'status') {
          this.page.filling.replied(came[0]);
        }
      }
      this.do(this.page.filling.arrived({ request: came[0] }, came[1]));
    }
  }

  do(steps: Step[]): void {
    steps.filter(step => step.do === 'begin').forEach(step => this._labs.delete(step.request));
    this.page.shown.do(steps);
  }
}

/** Play `rounds` events of all kinds, then let all come to its end. */
function play(seed: number, rounds: number): void {
  const roll = dice(seed);
  const server = new Server();
  const browsers = [new Browser(), new Browser()];
  const first = browsers[0];
  const file = { version: 0, cells: new Map<string, string[]>() };
  let requests = 0;

  const kernel = (): void => {
    if (server.running === null) {
      server.running = server.queue.shift() ?? null;
      if (server.running !== null) {
        say(begins((server.count += 1)));
        server.held.get(server.running)!.state = 'running';
      }
      return;
    }
    const kinds = [
      () => line(`${ids}`),
      () => line(`${ids}`),
      () => display(`${ids}`, `d-${server.running}`),
      () => update(`${ids}`, `d-${server.running}`),
      () => clear(true),
      () => clear(false),
      idle
    ];
    say(kinds[roll(kinds.length)]());
  };
  const say = (said: HeldMessage): void => {
    const came = server.says(server.running!, said);
    browsers.filter(one => one.connected).forEach(one => one.under_way.push(came));
    if (said.msg_type === 'status') {
      server.running = null;
    }
  };
  const reload = (browser: Browser): void => browser.load(file.version, file.cells);
  const answers = (browser: Browser): void => {
    if (browser.asked && !browser.answer) {
      browser.answer = server.cells();
    } else if (browser.answer) {
      const { answer } = browser;
      browser.asked = false;
      browser.answer = null;
      browser.do(browser.page.filling.answered(answer));
    }
  };
  const save = (browser: Browser): void => {
    if (browser.version !== file.version) {
      return; // Lab asks what to do
    }
    file.version = browser.version += 1;
    file.cells = new Map(
      [...browser.page.shown.cells].map(([id, one]) => [id, [...one.outputs]])
    );
    const told = browser.page.filling.finished();
    told
      .filter(request => server.held.get(request)?.state === 'finished')
      .forEach(request => server.held.delete(request));
    browser.page.filling.told(told);
  };
  const step = (browser: Browser): void => {
    const what = roll(20);
    if (what < 10) {
      browser.deliver();
    } else if (what < 14) {
      answers(browser);
    } else if (what < 15) {
      save(browser);
    } else if (what < 16 && roll(3) === 0) {
      browser.cut();
    } else if (what < 17 && roll(5) === 0) {
      reload(browser);
    } else if (what < 19 && !browser.connected) {
      browser.connect();
    } else if (browser === first && browser.connected && roll(2) === 0) {
      const request = `r${(requests += 1)}`;
      const id = 'abc'[roll(3)];
      browser.send(request, id);
      server.request(request, id);
    }
  };

  browsers.forEach(reload);
  for (let round = 0; round < rounds; round += 1) {
    kernel();
    browsers.forEach(step);
  }
  while (server.running !== null || server.queue.length) {
    kernel();
  }
  const truth = Object.fromEntries(
    [...server.truth.cells].map(([id, { outputs }]) => [id, outputs])
  );
  for (const [number, browser] of browsers.entries()) {
    if (number > 0 || browser.version !== file.version) {
      reload(browser); // It may lack what another page has saved.
    }
    if (!browser.connected) {
      browser.connect();
    }
    while (browser.asked || browser.under_way.length) {
      answers(browser);
      browser.deliver();
    }
    const shown = [...browser.page.shown.cells].map(([id, { outputs }]) => [id, outputs]);
    assert.deepEqual(Object.fromEntries(shown), truth, `seed ${seed}, page ${number}`);
    save(browser);
  }
}

test('Whatever happens in whatever order, each message is shown once, in its place.', () => {
  for (let seed = 1; seed <= 5000; seed += 1) {
    play(seed, 20 + (seed % 200));
  }
});
