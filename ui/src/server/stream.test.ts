import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { AT_FIRST, type Socket, whenOpen } from './stream.js';

class Played extends EventTarget implements Socket {
  readyState = 0;
  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }
  close(): void {
    this.readyState = 3;
    this.dispatchEvent(new Event('close'));
  }
}

/** Run `body` with played timers; it gets a counter of calls. */
function played(
  body: (count: () => number, sockets: (Played | null)[], cuts: () => number) => void
): void {
  mock.timers.enable({ apis: ['setTimeout'] });
  const sockets: (Played | null)[] = [new Played()];
  let calls = 0;
  let cuts = 0;
  const stop = whenOpen(
    () => sockets.at(-1),
    () => (calls += 1),
    () => (cuts += 1)
  );
  try {
    body(
      () => calls,
      sockets,
      () => cuts
    );
    stop();
    const before = calls;
    mock.timers.tick(60_000);
    assert.equal(calls, before, 'called after its end');
  } finally {
    mock.timers.reset();
  }
}

test('The stream is told of once when it opens.', () => {
  played((count, [socket]) => {
    assert.equal(count(), 0);
    socket?.open();
    assert.equal(count(), 1);
    mock.timers.tick(10 * AT_FIRST);
    assert.equal(count(), 1);
  });
});

test('A stream that does not open is not waited for.', () => {
  played((count, [socket]) => {
    mock.timers.tick(AT_FIRST);
    assert.equal(count(), 1);
    socket?.open();
    assert.equal(count(), 2);
  });
});

test('After a cut it is told of when the next socket is open.', () => {
  played((count, sockets, cuts) => {
    sockets[0]?.open();
    assert.equal(cuts(), 0);
    sockets[0]?.close();
    assert.equal(cuts(), 1);
    mock.timers.tick(10_000);
    assert.equal(count(), 1);
    const next = new Played();
    sockets.push(next);
    mock.timers.tick(10_000);
    assert.equal(count(), 1);
    next.open();
    mock.timers.tick(1000);
    assert.equal(count(), 2);
  });
});
