import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Estimate, Options, Start } from '../server/types.js';
import { type Asks, Choice } from './choice.js';

const SCHEMA = {
  properties: {
    time: { type: 'string', default: '1h' },
    prologue: { type: 'array', 'x-execute': true }
  },
  'x-simple': ['time']
};
const START = { name: 'python-compute', path: 'a.ipynb' };
const FINE: Estimate = { start: null, text: 'At once.', problems: [] };

/** A server that answers, and what it was asked. */
function server(answers: Partial<Asks> = {}): { asks: Asks; asked: Start[] } {
  const asked: Start[] = [];
  const asks: Asks = {
    schema: () => Promise.resolve(SCHEMA),
    queues: () => Promise.resolve([]),
    estimate: start => {
      asked.push(start);
      return Promise.resolve(FINE);
    },
    ...answers
  };
  return { asks, asked };
}

/** Until something is so that a change of the choice brings about. */
function until(choice: Choice, holds: () => boolean): Promise<void> {
  return new Promise(resolve => {
    const look = (): void => void (holds() && resolve());
    choice.changed.connect(look);
    look();
  });
}

const never = (): Promise<never> => new Promise(() => undefined);
const link = (options: Options) => ({ source: 'link' as const, options });

test('Who chooses nothing waits for nothing.', async () => {
  const { asks } = server({ schema: never, queues: never });
  assert.deepEqual(await new Choice(asks, START).options(), {});
});

test('Only what differs is sent.', async () => {
  const choice = new Choice(server().asks, START, null, 0);
  await choice.loaded;
  choice.set('time', '2h');
  assert.deepEqual(await choice.options(), { time: '2h' });
  choice.reset();
  assert.deepEqual(await choice.options(), {});
});

test('What was chosen before is filled in, without what others must not decide.', async () => {
  const choice = new Choice(server().asks, START, link({ time: '4h', prologue: 'rm', x: 1 }), 0);
  assert.deepEqual(await choice.options(), { time: '4h' });
  assert.deepEqual(choice.leftOut.refused, ['prologue']);
  assert.deepEqual(choice.leftOut.unknown, ['x']);
});

test('A link is not followed by halves where the options are not known.', async () => {
  const { asks } = server({ schema: () => Promise.reject(new Error('no answer')) });
  await assert.rejects(new Choice(asks, START, link({ time: '4h' })).options(), /no answer/);
});

test('Values that follow each other quickly are judged once.', async () => {
  const { asks, asked } = server();
  const choice = new Choice(asks, START, null, 0);
  await choice.loaded;
  choice.set('time', '2');
  choice.set('time', '2h');
  await until(choice, () => choice.estimate !== null);
  assert.deepEqual(asked, [{ ...START, options: { time: '2h' } }]);
});

test('A judgement of values that are no more is not shown.', async () => {
  const answers: ((estimate: Estimate) => void)[] = [];
  const signals: AbortSignal[] = [];
  const { asks } = server({
    estimate: (_, signal) =>
      new Promise(resolve => {
        signals.push(signal);
        answers.push(resolve);
        asking();
      })
  });
  let asking = (): void => undefined;
  const next = (): Promise<void> => new Promise(resolve => (asking = resolve));
  const choice = new Choice(asks, START, null, 0);
  const first = next();
  await first;
  const second = next();
  choice.set('time', '9h');
  await second;
  assert.ok(signals[0].aborted);
  answers[1]({ ...FINE, text: 'new' });
  answers[0]({ ...FINE, text: 'old' });
  await until(choice, () => !choice.estimating);
  assert.equal(choice.estimate?.text, 'new');
});

test('An error is kept with its text, and the values with it.', async () => {
  const { asks } = server({ queues: () => Promise.reject(new Error('sinfo is silent')) });
  const choice = new Choice(asks, START, null, 0);
  await choice.loaded;
  choice.set('time', '9h');
  assert.equal(await choice.tryTo(() => Promise.reject(new Error('too long'))), false);
  assert.equal(choice.errors.start, 'too long');
  assert.equal(choice.errors.queues, 'sinfo is silent');
  assert.deepEqual(choice.values, { time: '9h' });
  choice.set('time', '1h');
  assert.equal(choice.errors.start, undefined);
});

test('Nobody is asked once it is over.', async () => {
  const { asks, asked } = server();
  const choice = new Choice(asks, START, null, 0);
  choice.dispose();
  await choice.loaded;
  await new Promise(resolve => setTimeout(resolve, 0));
  assert.deepEqual(asked, []);
});
