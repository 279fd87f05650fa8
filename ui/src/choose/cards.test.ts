import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Queue } from '../server/types.js';
import { anyGpus, card, type Wish } from './cards.js';

const QUEUE: Queue = {
  name: 'gpu',
  is_default: false,
  state: 'up',
  time_limit: 43200,
  nodes: { total: 4, free: 1 },
  cores: { total: 128, free: 16 },
  memory: 64 * 1024 ** 3,
  cores_per_node: 32,
  gpus: [{ kind: 'a100', total: 16, free: 2 }],
  note: ''
};
const NOTHING: Wish = { seconds: null, bytes: null, cores: null, gpus: null };

test('A card says what is free, and how much there is.', () => {
  const { free, size, troubles } = card(QUEUE, NOTHING);
  assert.deepEqual(free, ['16 of 128 cores free', '2 of 16 a100 free']);
  assert.equal(size, 'up to 12 h, 32 cores a node, 64 GiB a node');
  assert.deepEqual(troubles, []);
});

test('A card leaves out what the batch system does not tell.', () => {
  const gpus = [{ kind: '', total: 2, free: null }];
  const little = { ...QUEUE, cores: null, memory: null, cores_per_node: null, time_limit: null, gpus };
  const { free, size } = card(little, NOTHING);
  assert.deepEqual(free, ['1 of 4 nodes free', '2 GPUs']);
  assert.equal(size, '');
  const none = { ...little, nodes: null, gpus: [{ kind: 'a100', total: null, free: 3 }] };
  assert.deepEqual(card(none, { ...NOTHING, gpus: { kind: '', count: 9 } }).free, ['3 a100 free']);
});

test('A card says what of a wish does not fit.', () => {
  const wish = { seconds: 86400, bytes: 2 ** 40, cores: 64, gpus: { kind: 'A100', count: 20 } };
  assert.deepEqual(card(QUEUE, wish).troubles, [
    'Its longest time is 12 h.',
    'Its nodes have 64 GiB.',
    'Its nodes have 32 cores.',
    'It has 16 A100.'
  ]);
});

test('A card says that a queue starts no jobs, in the word of the scheduler.', () => {
  assert.deepEqual(card({ ...QUEUE, state: 'down' }, NOTHING).troubles, ['It starts no jobs now (down).']);
  assert.deepEqual(card({ ...QUEUE, state: 'drain' }, NOTHING).troubles, ['It starts no jobs now (drain).']);
});

test('Without any GPUs none are asked for, unless that is not known.', () => {
  assert.equal(anyGpus(null), true);
  assert.equal(anyGpus([]), true);
  assert.equal(anyGpus([{ ...QUEUE, gpus: [] }]), false);
  assert.deepEqual(card({ ...QUEUE, gpus: [] }, { ...NOTHING, gpus: { kind: '', count: 1 } }).troubles, [
    'It has no GPUs.'
  ]);
});
