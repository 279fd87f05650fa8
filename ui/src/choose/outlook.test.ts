import assert from 'node:assert/strict';
import { test } from 'node:test';

import { outlook } from './outlook.js';

const at = (start: number | null, text = '', problems: string[] = []) => ({ start, text, problems });

test('When it would start is said as far as it is known.', () => {
  assert.equal(outlook(at(1030), 1000), 'It would start now.');
  assert.equal(outlook(at(900), 1000), 'It would start now.');
  assert.match(outlook(at(1000 + 7200), 1000), /^It would start in about 2 h \(.*\)\.$/);
  assert.equal(outlook(at(null), 1000), 'The scheduler does not say when it would start.');
});

test("The scheduler's own words follow, but where it would not start.", () => {
  assert.equal(outlook(at(1000, '1 CPU on c1'), 1000), 'It would start now: 1 CPU on c1');
  assert.equal(outlook(at(null, '1 CPU on c1', ['Too long.']), 1000), '');
});
