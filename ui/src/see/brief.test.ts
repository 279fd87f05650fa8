import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Kernel } from '../server/types.js';
import { english } from '../words.js';
import * as say from './brief.js';

const NOW = 1_000_000;
const GIB = 2 ** 30;

function kernel(fields: object = {}): Kernel {
  const running = { state: 'running', node: 'c1', notebooks: ['a/long.ipynb'], name: 'Python' };
  const none = { usage: null, place: null, expected_start: null, submitted: null };
  return { ...running, ...none, ready: NOW - 3600, ends: NOW + 3600, ...fields } as Kernel;
}

test('The end is near in the last ten minutes, and very near in the last two.', () => {
  const near = (rest: number): string => say.nearness(kernel({ ends: NOW + rest }), NOW);
  assert.deepEqual([601, 600, 121, 120, 0].map(near), ['', 'near', 'near', 'last', 'last']);
});

test("Of a short job's time, the last quarter is near.", () => {
  const short = { ready: NOW - 30, ends: NOW + 30 };
  assert.equal(say.nearness(kernel(short), NOW), '');
  assert.equal(say.nearness(kernel(short), NOW + 20), 'last');
});

test('What waits or has ended, or has no limit, has no end that is near.', () => {
  for (const fields of [{ state: 'waiting' }, { state: 'ended' }, { ends: null }]) {
    assert.equal(say.nearness(kernel({ ends: NOW, ...fields }), NOW), '');
    assert.equal(say.timeLeft(kernel({ ends: NOW, ...fields }), NOW, english), '');
    assert.equal(say.shareLeft(kernel({ ends: NOW, ...fields }), NOW), null);
  }
});

test('The time left is to the minute, in the end to the second.', () => {
  const left = (rest: number): string => say.timeLeft(kernel({ ends: NOW + rest }), NOW, english);
  assert.deepEqual([5400 + 31, 150, 119, 0].map(left), ['1 h 30 min', '2 min', '1 min 59 s', '0 s']);
});

test('The share of the time that is left counts from when the kernel was there.', () => {
  assert.equal(say.shareLeft(kernel(), NOW), 50);
  assert.equal(say.shareLeft(kernel({ ready: null, submitted: NOW - 10_800 }), NOW), 25);
});

test('A kernel is called by its notebooks, else by its own name.', () => {
  assert.equal(say.called(kernel()), 'long.ipynb');
  assert.equal(say.called(kernel({ notebooks: ['a/x.ipynb', 'y.ipynb'] })), 'x.ipynb, y.ipynb');
  assert.equal(say.called(kernel({ notebooks: [] })), 'Python');
  assert.equal(say.calledInFull(kernel()), 'a/long.ipynb – Python');
});

test('Memory is said against its limit where there is one.', () => {
  const usage = (memory: number | null, memory_limit: number | null): never =>
    ({ memory, memory_limit }) as never;
  assert.equal(say.memory(usage(1.5 * GIB, 4 * GIB), english), '1.5 GiB of 4 GiB');
  assert.equal(say.memory(usage(1.5 * GIB, null), english), '1.5 GiB');
  assert.equal(say.memory(usage(null, 4 * GIB), english), '');
  assert.equal(say.memory(null, english), '');
});

test('The load is of the CPUs, and the mean of GPUs that told theirs.', () => {
  const gpus = [{ utilization: 80 }, { utilization: 40 }, { utilization: null }];
  assert.equal(say.load({ cpu_percent: 34.6, gpus } as never, english), 'CPU 35 % · GPU 60 %');
  assert.equal(say.load({ cpu_percent: null, gpus: [] } as never, english), '');
});

test('A waiting kernel says its place and when it starts, with the day if that is another.', () => {
  const waiting = { state: 'waiting', node: null, place: 3, expected_start: NOW + 60 };
  const said = say.stateAndPlace(kernel(waiting), NOW, english);
  assert.equal(said, `waiting · place 3 · starts ~${say.moment(NOW + 60, NOW)}`);
  assert.ok(say.moment(NOW + 4 * 86_400, NOW).length > say.moment(NOW, NOW).length);
  const past = { ...waiting, expected_start: NOW - 60 };
  assert.equal(say.stateAndPlace(kernel(past), NOW, english), 'waiting · place 3');
});

test('The toolbar has few words, and all of them for who does not see it.', () => {
  const usage = { memory: 2 * GIB, memory_limit: 4 * GIB, gpus: [] };
  assert.deepEqual(say.brief(kernel({ usage }), NOW, english), {
    text: 'c1 · 1 h · 2 GiB of 4 GiB',
    words: 'Kernel of long.ipynb: running, on c1, 1 h left, memory 2 GiB of 4 GiB',
    nearness: ''
  });
  const lost = say.brief(kernel({ state: 'lost' }), NOW, english);
  assert.equal(lost.text, 'connection lost · c1 · 1 h');
});
