import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytes, count, gpus, seconds } from './units.js';

test('A time with its unit is understood, and one that could mean two things is not.', () => {
  assert.equal(seconds('2h'), 7200);
  assert.equal(seconds('90M'), 5400);
  assert.equal(seconds('2:00:00'), 7200);
  assert.equal(seconds('1-12'), 129600);
  assert.equal(seconds('1-12:30:00'), 131400);
  assert.equal(seconds('30:00'), null);
  assert.equal(seconds('30'), null);
  assert.equal(seconds(30), null);
  assert.equal(seconds('UNLIMITED'), null);
});

test('A size has its unit.', () => {
  assert.equal(bytes('8G'), 8 * 1024 ** 3);
  assert.equal(bytes('1.5TiB'), 1.5 * 1024 ** 4);
  assert.equal(bytes('500 M'), null);
  assert.equal(bytes(4000), null);
});

test('GPUs are counted, of any kind or of one.', () => {
  assert.equal(count('4'), 4);
  assert.equal(count('0'), null);
  assert.deepEqual(gpus(2), { kind: '', count: 2 });
  assert.deepEqual(gpus('a100:2'), { kind: 'a100', count: 2 });
  assert.deepEqual(gpus('a100'), { kind: 'a100', count: 1 });
  assert.equal(gpus(''), null);
});
