import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { JobEnd, Kernel, Options } from '../server/types.js';
import { bytes, suggestion } from './suggest.js';

const end = (word: string, text = ''): JobEnd => ({ word, text, exit_code: null, signal: null });

function suggested(ended: JobEnd, kernel: object = {}, config: Options = {}): Options {
  return suggestion({ usage: null, ends: null, ready: null, ...kernel } as Kernel, ended, config);
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
  assert.deepEqual(suggested(end('OUT_OF_MEMORY'), { usage }), { memory: '8G' });
  assert.deepEqual(suggested(end('OUT_OF_MEMORY'), {}, { mem: '300M' }), { memory: '600M' });
  const said = end('F 1', 'The job used more memory than it had asked for and was ended.');
  assert.deepEqual(suggested(said, {}, { memory: '1G' }), { memory: '2G' });
});

test('After the time limit, twice as long is suggested, to the minute.', () => {
  const times = { ready: 1000, ends: 1000 + 7190 };
  assert.deepEqual(suggested(end('TIMEOUT'), times), { time: '4:00:00' });
  assert.deepEqual(suggested(end('TIMEOUT'), { ready: 0, ends: 20 }), { time: '0:01:00' });
});

test('Where more would not help, or nobody knows how much there was, nothing is suggested.', () => {
  assert.deepEqual(suggested(end('NODE_FAIL', 'Its node failed.')), {});
  assert.deepEqual(suggested(end('OUT_OF_MEMORY')), {});
  assert.deepEqual(suggested(end('TIMEOUT')), {});
});
