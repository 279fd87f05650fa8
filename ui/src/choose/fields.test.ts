import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  accept,
  defaults,
  differing,
  fields,
  forNotebook,
  ownName,
  read,
  same,
  type Schema,
  simple
} from './fields.js';

const SCHEMA: Schema = {
  properties: {
    queue: { title: 'Partition', type: 'string', 'x-option': 'partition' },
    time: { title: 'Time limit', type: ['string', 'integer'], default: '1:00:00' },
    cores: { type: 'integer', 'x-option': 'cpus-per-task' },
    partition: { title: 'Partition', type: 'string', 'x-portable': 'queue' },
    'cpus-per-task': { type: 'integer', default: 2, 'x-portable': 'cores' },
    exclusive: { type: ['boolean', 'string'] },
    warn_before: { type: 'array', items: { type: 'number' }, default: [600, 120] },
    prologue: { type: ['array', 'string'], items: { type: 'string' }, 'x-execute': true }
  },
  'x-simple': ['time', 'memory', 'cores', 'queue']
};

const property = (name: string) => SCHEMA.properties[name];

test('An option goes by its own name, whichever of its names is given.', () => {
  assert.equal(ownName(SCHEMA, 'queue'), 'partition');
  assert.equal(ownName(SCHEMA, 'cpus_per_task'), 'cpus-per-task');
  assert.equal(ownName(SCHEMA, 'constructor'), null);
});

test('Each option is there once.', () => {
  assert.deepEqual(
    fields(SCHEMA).map(({ name }) => name),
    ['partition', 'time', 'cpus-per-task', 'exclusive', 'warn_before', 'prologue']
  );
});

test('The first page has what the batch system has of it.', () => {
  const found = [...simple(SCHEMA)].map(([role, { name }]) => `${role}: ${name}`);
  assert.deepEqual(found, ['time: time', 'cores: cpus-per-task', 'queue: partition']);
});

test('Text becomes what the option takes.', () => {
  assert.equal(read(property('time'), ' 2h '), '2h');
  assert.equal(read(property('time'), '90'), 90);
  assert.equal(read(property('cores'), 'many'), 'many');
  assert.equal(read(property('exclusive'), 'true'), true);
  assert.equal(read(property('partition'), '12'), '12');
  assert.deepEqual(read(property('warn_before'), '60, 30.5'), [60, 30.5]);
  assert.equal(read(property('time'), '  '), null);
});

test('Values are the same in each form that means the same.', () => {
  assert.ok(same(4, '4'));
  assert.ok(same(null, ''));
  assert.ok(same(undefined, []));
  assert.ok(!same('4', '4G'));
  assert.ok(!same(0, null));
});

test("What does not differ from the kernelspec's values is not sent.", () => {
  const base = defaults(SCHEMA);
  assert.deepEqual(differing(base, base), {});
  assert.deepEqual(differing({ ...base, time: '2h', partition: null }, base), { time: '2h' });
});

test('What is emptied takes the option out of the kernelspec.', () => {
  const base = defaults(SCHEMA);
  assert.deepEqual(differing({ ...base, time: '' }, base), { time: null });
});

test('What decides what runs on the node is not taken from others.', () => {
  const found = accept(SCHEMA, { queue: 'gpu', cores: '4', prologue: 'rm -r ~', wings: '2' });
  assert.deepEqual(found.options, { partition: 'gpu', 'cpus-per-task': 4 });
  assert.deepEqual(found.refused, ['prologue']);
  assert.deepEqual(found.unknown, ['wings']);
});

test('A notebook has the names that all batch systems share, and is read with either.', () => {
  const plain = { partition: 'gpu', 'cpus-per-task': 4, time: null, exclusive: true };
  const kept = forNotebook(SCHEMA, { ...plain, prologue: 'x' });
  assert.deepEqual(kept, { queue: 'gpu', cores: 4, time: null, exclusive: true });
  for (const saved of [kept, plain]) {
    assert.deepEqual(accept(SCHEMA, saved), { options: plain, unknown: [], refused: [] });
  }
});
