import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fromForm, groups, toForm } from './everything.js';
import type { Schema } from './fields.js';

const SCHEMA: Schema = {
  title: 'Slurm',
  properties: {
    time: { title: 'Time limit', type: ['string', 'integer'], pattern: '^x$' },
    memory: { title: 'Memory', type: 'string', 'x-option': 'mem' },
    mem: { title: 'Memory', type: ['string', 'integer'], 'x-portable': 'memory' },
    nodes: { title: 'Nodes', type: 'integer', minimum: 1, description: 'How many.' },
    start: { title: 'How', type: ['string', 'null'], enum: ['sbatch', 'salloc', null] },
    prologue: { title: 'Lines', type: ['array', 'string'], items: { type: 'string' }, 'x-execute': true }
  },
  'x-simple': ['time', 'memory']
};

const names = (wanted = ''): string[][] =>
  groups(SCHEMA, wanted).map(group => group.fields.map(({ name }) => name));

test('All options are there once, and what runs on the node comes last.', () => {
  assert.deepEqual(names(), [['time', 'mem'], ['nodes', 'start'], ['prologue']]);
});

test('An option is found by its names and its help.', () => {
  assert.deepEqual(names('memory'), [['mem']]);
  assert.deepEqual(names('how many'), [['nodes']]);
  assert.deepEqual(names('wings'), []);
});

test('Each option has one kind in a form.', () => {
  const properties = groups(SCHEMA).map(({ schema }) => schema.properties);
  assert.deepEqual(Object.assign({}, ...properties), {
    time: { type: 'string', title: 'Time limit' },
    mem: { type: 'string', title: 'Memory' },
    nodes: { type: 'integer', title: 'Nodes', description: 'How many.', minimum: 1 },
    start: { type: 'string', title: 'How', enum: ['sbatch', 'salloc'] },
    prologue: { type: 'array', title: 'Lines', items: { type: 'string' } }
  });
});

test('What a form does not change stays as it was written.', () => {
  const [first, , last] = groups(SCHEMA);
  const values = { time: 90, prologue: 'module load x', mem: null };
  assert.deepEqual(toForm(first, values), { time: '90' });
  assert.deepEqual(toForm(last, values), { prologue: ['module load x'] });
  assert.equal(fromForm(first, values, { time: '90' }), null);
  assert.equal(fromForm(last, values, { prologue: ['module load x'] }), null);
});

test('What a form changes goes over the values, which may lose it.', () => {
  const [first] = groups(SCHEMA);
  const values = { time: 90, nodes: 2 };
  assert.deepEqual(fromForm(first, values, { time: '2h' }), { time: '2h', nodes: 2 });
  assert.deepEqual(fromForm(first, values, {}), { time: null, nodes: 2 });
});
