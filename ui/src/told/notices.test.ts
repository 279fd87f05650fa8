import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { JobEnd, Kernel, KernelEvent } from '../server/types.js';
import { english } from '../words.js';
import { notice, Once } from './notices.js';

const kernel = { notebooks: ['a/b.ipynb'], name: 'Python', submitted: 1000 } as Kernel;
const END: JobEnd = { word: '', exit_code: null, signal: null, text: '', cause: 'time' };

function told(event: Partial<KernelEvent>, now = 0, of: Kernel | undefined = kernel): string | null {
  const whole = { kernel_id: 'k', job_id: '7', node: 'c1', text: '', end: null, ...event };
  return notice(whole as KernelEvent, of, now, english)?.text ?? null;
}

test('A start is told of after a wait, not where somebody is still there.', () => {
  assert.equal(told({ action: 'running' }, 1014), null);
  assert.equal(told({ action: 'running' }, 1030), 'b.ipynb: its job has started on c1, after 30 s.');
  assert.equal(
    told({ action: 'running' }, 1000 + 3601),
    'b.ipynb: its job has started on c1, after 1 h.'
  );
  assert.equal(told({ action: 'pending' }, 9999), null);
});

test('A warning and an end are told in the words of the server.', () => {
  const text = '10 minutes left: job 7 ends at 14:00.';
  assert.equal(told({ action: 'warning', text }), `b.ipynb: ${text}`);
  const end = { ...END, word: 'TIMEOUT', text: 'It took too long.' };
  assert.equal(told({ action: 'ended', end }), 'b.ipynb: It took too long.');
});

test('An end that somebody wanted is no news.', () => {
  const end = { ...END, word: 'shut-down', text: 'It was shut down.' };
  assert.equal(told({ action: 'ended', end }), null);
});

test('A kernel that is not known is called by its job.', () => {
  const found = notice(
    { kernel_id: 'k', job_id: '7', action: 'warning', text: 'x' } as KernelEvent,
    undefined,
    0,
    english
  );
  assert.equal(found?.text, 'the kernel of job 7: x');
});

test('The same is told once; of what is long ago it is forgotten.', () => {
  const once = new Once(2);
  assert.deepEqual(['a', 'a', 'b', 'c', 'a'].map(key => once.isNew(key)), [
    true,
    false,
    true,
    true,
    true
  ]);
});
