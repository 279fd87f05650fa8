import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EndCause, Kernel, Options } from '../server/types.js';
import { bytes, suggestion } from './suggest.js';

function suggested(cause: EndCause, kernel: object = {}, config: Options = {}): Options {
  return suggestion({ usage: null, ends: null, ready: null, ...kernel } as Kernel, cause, config);
}

test('A size of a kernelspec has a unit, or is in megabytes.', () => {
  assert.equal(bytes('4G'), 4 * 2 ** 30);
  assert.equal(bytes('500M'), 500 * 2 ** 20);
  assert.equal(bytes(300), 300 * 2 ** 20);
  assert.equal(bytes('1.5gb'), 1.5 * 2 ** 30);
  assert.equal(bytes(undefined), null);
  assert.equal(bytes('all'), null);
});

test('After the memory was used up, twice as much is suggested.', () => {
  const usage = { memory_limit: 4 * 2 ** 30 };
  assert.deepEqual(suggested('memory', { usage }), { memory: '8G' });
  assert.deepEqual(suggested('memory', {}, { mem: '300M' }), { memory: '600M' });
  assert.deepEqual(suggested('killed', {}, { memory: '1G' }), { memory: '2G' });
});

test('After the time limit, twice as long is suggested, to the minute.', () => {
  const times = { ready: 1000, ends: 1000 + 7190 };
  assert.deepEqual(suggested('time', times), { time: '4:00:00' });
  assert.deepEqual(suggested('time', { ready: 0, ends: 20 }), { time: '0:01:00' });
});

test('Where more would not help, or nobody knows how much there was, nothing is suggested.', () => {
  const known = { usage: { memory_limit: 2 ** 30 }, ready: 0, ends: 3600 };
  for (const cause of ['node', 'limit', 'cancelled', 'failed', 'unknown'] as const) {
    assert.deepEqual(suggested(cause, known), {});
  }
  assert.deepEqual(suggested('memory'), {});
  assert.deepEqual(suggested('time'), {});
});
