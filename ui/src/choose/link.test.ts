import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse, without } from './link.js';

const LAB = 'https://hub.example/user/me/lab/tree/some%20work/x.ipynb';

test('A link names a kernel, a notebook and values.', () => {
  assert.deepEqual(parse(`${LAB}?kernel=python-compute&time=2h&memory=8G`), {
    kernel: 'python-compute',
    path: 'some work/x.ipynb',
    values: { time: '2h', memory: '8G' }
  });
});

test("Lab's and Notebook's addresses of a notebook are known.", () => {
  const path = (address: string): string | undefined => parse(`${address}?kernel=k`)?.path;
  assert.equal(path('http://a/lab/workspaces/auto-1/tree/x.ipynb'), 'x.ipynb');
  assert.equal(path('http://a/notebooks/d/x.ipynb'), 'd/x.ipynb');
  assert.equal(path('http://a/lab'), '');
  assert.equal(path('http://a/lab/tree/%E0%A4%A.ipynb'), '');
});

test('An address without a kernel asks for nothing.', () => {
  assert.equal(parse(`${LAB}?time=2h`), null);
});

test('What is not of the link stays in the address.', () => {
  const address = `${LAB}?token=t&kernel=k&time=2h&reset`;
  const link = parse(address);
  assert.ok(link);
  assert.deepEqual(link.values, { time: '2h' });
  assert.equal(without(address, link), `${LAB}?token=t&reset=`);
});

test('A link is bounded.', () => {
  const many = Array.from({ length: 200 }, (_, at) => `o${at}=${'x'.repeat(1000)}`).join('&');
  const values = Object.entries(parse(`${LAB}?kernel=k&${many}`)?.values ?? {});
  assert.equal(values.length, 50);
  assert.equal(values[0][1].length, 200);
});
