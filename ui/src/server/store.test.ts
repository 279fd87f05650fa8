import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KernelStore, merged } from './store.js';
import { KERNEL_EVENT, KERNELS_EVENT, type Kernel } from './types.js';

const kernel = (kernel_id: string, state = 'running'): Kernel => ({ kernel_id, state }) as Kernel;

const states = (kernels: readonly Kernel[]): string[] =>
  kernels.map(({ kernel_id, state }) => `${kernel_id} ${state}`);

test('A kernel that changed stays in its place, and one that is new comes last.', () => {
  const found = merged([kernel('a'), kernel('b')], {
    kernels: [kernel('c'), kernel('a', 'lost')],
    gone: []
  });
  assert.deepEqual(states(found), ['a lost', 'b running', 'c running']);
});

test('A kernel that is gone is no more listed, known or not.', () => {
  const found = merged([kernel('a'), kernel('b')], { kernels: [kernel('a')], gone: ['a', 'x'] });
  assert.deepEqual(states(found), ['b running']);
});

test('An event that comes while the server is asked is newer than its answer.', async () => {
  let answer!: (kernels: Kernel[]) => void;
  const store = new KernelStore(() => new Promise(resolve => (answer = resolve)));
  const asked = store.refresh();
  store.take({ schema_id: KERNELS_EVENT, kernels: [kernel('a', 'lost')], gone: ['b'] });
  answer([kernel('a'), kernel('b'), kernel('c')]);
  await asked;
  assert.deepEqual(states(store.kernels), ['a lost', 'c running']);
});

test('An answer that was overtaken by a later one is not taken.', async () => {
  const answers: ((kernels: Kernel[]) => void)[] = [];
  const store = new KernelStore(() => new Promise(resolve => answers.push(resolve)));
  const asked = [store.refresh(), store.refresh()];
  answers[1]?.([kernel('new')]);
  answers[0]?.([kernel('old')]);
  await Promise.all(asked);
  assert.deepEqual(states(store.kernels), ['new running']);
});

test('Where the server cannot be asked, it is said why, and what was known stays.', async () => {
  let away = false;
  const store = new KernelStore(() =>
    away ? Promise.reject(new Error('the server is away')) : Promise.resolve([kernel('a')])
  );
  await store.refresh();
  away = true;
  await store.refresh();
  assert.equal(store.error?.message, 'the server is away');
  assert.equal(store.get('a')?.state, 'running');
  away = false;
  await store.refresh();
  assert.equal(store.error, null);
});

test('After a cut the list counts as old until the server has answered.', async () => {
  let away = true;
  const store = new KernelStore(() =>
    away ? Promise.reject(new Error('the server is away')) : Promise.resolve([])
  );
  assert.equal(store.away, false);
  store.cut();
  assert.equal(store.away, true);
  await store.refresh();
  assert.equal(store.away, true);
  away = false;
  await store.refresh();
  assert.equal(store.away, false);
});

test('What happens to a kernel is told on; events of others are not.', () => {
  const store = new KernelStore(() => Promise.resolve([]));
  const told: string[] = [];
  store.told.connect((_, { action }) => told.push(action));
  store.take({ schema_id: 'https://events.example.org/other', action: 'other' });
  store.take({ schema_id: KERNEL_EVENT, action: 'warning' });
  assert.deepEqual(told, ['warning']);
});
