import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { INTEREST, Live } from './live.js';

test('It is asked for only while it is shown, and then before it is forgotten.', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let asked = 0;
    const live = new Live(() => Promise.resolve(++asked));
    await live.refresh();
    assert.equal(asked, 0);
    live.isShown = true;
    assert.equal(asked, 1);
    mock.timers.tick(INTEREST);
    assert.equal(asked, 2);
    live.isShown = false;
    mock.timers.tick(3 * INTEREST);
    assert.equal(asked, 2);
  } finally {
    mock.timers.reset();
  }
});

test('What an event says is newer than an answer under way.', async () => {
  let answer!: (value: string) => void;
  const live = new Live(() => new Promise<string>(resolve => (answer = resolve)));
  live.isShown = true;
  live.take('event');
  answer('answer');
  await Promise.resolve();
  assert.equal(live.value, 'event');
  live.isShown = false;
});

test('What was told stays when the server cannot be asked, and it is said why.', async () => {
  const live = new Live<string>(() => Promise.reject(new Error('away')));
  live.take('told');
  live.isShown = true;
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(live.error?.message, 'away');
  assert.equal(live.value, 'told');
  live.isShown = false;
});

test('It is asked for as long as one of those who want to know is left.', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let asked = 0;
    const live = new Live(() => Promise.resolve((asked += 1)));
    live.isShown = true;
    live.wanted('watch', true);
    assert.equal(asked, 2);
    live.isShown = false;
    mock.timers.tick(INTEREST);
    assert.equal(asked, 3);
    live.wanted('watch', false);
    mock.timers.tick(3 * INTEREST);
    assert.equal(asked, 3);
  } finally {
    mock.timers.reset();
  }
});
