import assert from 'node:assert/strict';
import { test } from 'node:test';

import { brief, likelyFirst } from './listening.js';

test('What may be a page is before what programs have for each other.', () => {
  const command = 'x';
  const own = { port: 1, host: '127.0.0.1', command, is_kernel: true, is_ephemeral: true };
  const inner = { port: 2, host: '10.0.0.2', command };
  const page = { port: 3, host: '127.0.0.1', command, is_ephemeral: true };
  const kernels = { port: 8050, host: '0.0.0.0', command, is_kernel: true };
  const found = likelyFirst([own, inner, page, kernels]).map(({ port }) => port);
  assert.deepEqual(found, [3, 8050, 2, 1]);
});

test("A command's program is called without its folder.", () => {
  assert.equal(brief('/opt/env/bin/python -m x /a/b'), 'python -m x /a/b');
  assert.equal(brief('dask scheduler [tls://10.0.0.2:1]'), 'dask scheduler [tls://10.0.0.2:1]');
});
