import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Tail } from './tail.js';

function tail(...chunks: string[]): Tail {
  const made = new Tail(3);
  chunks.forEach(chunk => made.add(chunk));
  return made;
}

test('A line may come in several pieces.', () => {
  assert.equal(tail('a', 'b\nc', '\n').text, 'ab\nc\n');
});

test('Only the last lines are kept, and it is said that there were more.', () => {
  assert.equal(tail('1\n2\n3\n').isCut, false);
  const cut = tail('1\n2\n', '3\n4\n5');
  assert.equal(cut.text, '2\n3\n4\n5');
  assert.equal(cut.isCut, true);
});

test('A line that is written over shows its last form, and no colours.', () => {
  assert.equal(tail('10%\r', '50%\r\x1b[32m100%\x1b[0m\r\n').text, '100%\n');
});
