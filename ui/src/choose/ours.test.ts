import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isAway, isOurs, ours, proposed } from './ours.js';

const spec = (name: string, provisioner: string | null, scheduler?: string) => ({
  name,
  display_name: name.toUpperCase(),
  metadata: provisioner
    ? { kernel_provisioner: { provisioner_name: provisioner, config: { scheduler } } }
    : {}
});
const kernelspecs = {
  here: spec('here', 'remote-kernels', 'local'),
  gpu: spec('gpu', 'remote-kernels', 'slurm'),
  python3: spec('python3', null),
  other: spec('other', 'local-provisioner')
};
const SPECS = { kernelspecs };

test('A kernelspec is ours by its provisioner.', () => {
  assert.deepEqual(
    ours(SPECS).map(({ name }) => name),
    ['gpu', 'here']
  );
  assert.ok(isOurs(SPECS, 'gpu'));
  assert.ok(!isOurs(SPECS, 'python3'));
  assert.ok(!isOurs(SPECS, undefined));
  assert.deepEqual(ours(null), []);
  assert.ok(isAway(SPECS, 'gpu'));
  assert.ok(!isAway(SPECS, 'here'));
});

test('The kernelspec of now is proposed, or else one on a node.', () => {
  assert.equal(proposed(SPECS, 'here'), 'here');
  assert.equal(proposed(SPECS, 'python3', undefined), 'gpu');
  assert.equal(proposed({ kernelspecs: { here: kernelspecs.here } }), 'here');
  assert.equal(proposed({ kernelspecs: {} }), null);
});
