import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Clock } from './clock.js';

/** A timer that a timer sets is due only in the next `tick`. */
function pass(seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    mock.timers.tick(1000);
  }
}

/** Run `body` with played timers, and a clock that is urgent while `urgent[0]`. */
function played(body: (clock: Clock, ticks: () => number, urgent: [boolean]) => void): void {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const urgent: [boolean] = [false];
  const clock = new Clock(() => urgent[0]);
  let ticks = 0;
  const stop = clock.subscribe(() => (ticks += 1));
  try {
    body(clock, () => ticks, urgent);
    stop();
    const before = ticks;
    pass(60);
    clock.wake();
    assert.equal(ticks, before, 'it ticked for nobody');
  } finally {
    mock.timers.reset();
  }
}

test('A clock ticks every ten seconds, and tells its time.', () => {
  played((clock, ticks) => {
    const begun = clock.now;
    const before = ticks();
    pass(30);
    assert.equal(ticks() - before, 3);
    assert.equal(clock.now - begun, 30);
  });
});

test('While something ends soon it ticks every second.', () => {
  played((clock, ticks, urgent) => {
    urgent[0] = true;
    clock.wake();
    const before = ticks();
    pass(5);
    assert.equal(ticks() - before, 5);
  });
});

test('A clock stands still while the page is hidden, and is right at once when shown.', () => {
  played((clock, ticks) => {
    clock.isShown = false;
    const [before, then] = [ticks(), clock.now];
    pass(60);
    assert.equal(ticks(), before);
    clock.isShown = true;
    assert.equal(ticks(), before + 1);
    assert.equal(clock.now - then, 60);
  });
});
