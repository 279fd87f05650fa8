import assert from 'node:assert/strict';
import { test } from 'node:test';

import { english, left, percent, size, span, state, type Translator } from './words.js';

test('A span of time has its two largest units.', () => {
  assert.equal(span(0), '0 s');
  assert.equal(span(40), '40 s');
  assert.equal(span(3600), '1 h');
  assert.equal(span(5400), '1 h 30 min');
  assert.equal(span(86400), '1 day');
  assert.equal(span(2 * 86400 + 3 * 3600 + 59), '2 days 3 h');
});

test('What is left between the two largest units is not said.', () => {
  assert.equal(span(86400 + 120), '1 day');
});

test('A time in the past is none left.', () => {
  assert.equal(span(-5), '0 s');
  assert.equal(left(100, 160), 0);
  assert.equal(left(160, 100), 60);
  assert.equal(left(null, 100), null);
});

test('A span is said in the words of a translator.', () => {
  const german: Translator = {
    ...english,
    _n: (one, many, count) => english._n(one, many.replace('days', 'Tage'), count)
  };
  assert.equal(span(2 * 86400, german), '2 Tage');
});

test('A size has three digits and a binary unit.', () => {
  assert.equal(size(0), '0 B');
  assert.equal(size(512), '512 B');
  assert.equal(size(1536), '1.5 KiB');
  assert.equal(size(4 * 2 ** 30), '4 GiB');
  assert.equal(size(3 * 2 ** 40), '3.0 TiB');
});

test('A share of nothing is not known.', () => {
  assert.equal(percent(1, 0), null);
  assert.equal(percent(null, 4), null);
  assert.equal(percent(1, null), null);
  assert.equal(percent(1, 3), 33);
  assert.equal(percent(5, 4), 100);
});

test('A state that is new is said as it is.', () => {
  assert.equal(state('lost'), 'connection lost');
  assert.equal(state('frozen'), 'frozen');
  assert.equal(state('constructor'), 'constructor');
});
