import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Job } from '../server/types.js';
import { beside, directives, isNotebook, Order } from './order.js';

test('A notebook is known by its ending, in any case.', () => {
  assert.deepEqual(
    ['a.ipynb', 'a/b.IPYNB', 'ipynb', 'a.ipynb.sh', ''].map(isNotebook),
    [true, true, false, false, false]
  );
});

test("A script's lines for its batch system are found, of any system.", () => {
  const lines = [
    '#SBATCH --time=1:00:00',
    '#$ -l h_rt=600',
    '#PBS -N name',
    '#BSUB -q short',
    '#OAR -l nodes=1',
    '#FLUX: -N1',
    '# flux: -N1'
  ];
  const others = ['#!/bin/bash -l', '# a comment - of ours', '##SBATCH --time=1', '#SBATCH', 'ls -l'];
  assert.deepEqual(directives([...others, ...lines].join('\n')), lines);
  assert.deepEqual(directives('#SBATCH -c 2\r\n'), ['#SBATCH -c 2']);
});

test('A result lies beside its notebook, also at the top.', () => {
  const { folder, result, report } = beside('a/b/c.ipynb');
  assert.deepEqual([folder, result, report], ['a/b', 'c-DATE-TIME.ipynb', 'c-DATE-TIME.html']);
  assert.equal(beside('c.ipynb').folder, '');
});

test('Only what is filled in is sent.', () => {
  assert.deepEqual(new Order('run.sh').submission, { script: 'run.sh' });
  assert.deepEqual(new Order('a/b.ipynb').submission, { notebook: 'a/b.ipynb' });
});

test('What is typed is sent as the server takes it.', () => {
  const order = new Order(' /run.sh ', true);
  order.change(({ texts }) => Object.assign(texts, { time: ' 2h ', cores: '4', queue: ' ', gpus: 'a100:2' }));
  order.change(({ mail }) => mail.add('end').add('fail'));
  order.change(each => (each.kernelspec = 'python-compute'));
  assert.deepEqual(order.submission, {
    script: 'run.sh',
    options: { time: '2h', cores: 4, gpus: 'a100:2' },
    mail: { on: ['end', 'fail'] },
    kernelspec: 'python-compute'
  });
  order.change(each => (each.to = ' me@example.org '));
  assert.deepEqual(order.submission.mail, { on: ['end', 'fail'], to: 'me@example.org' });
  order.change(({ mail }) => mail.clear());
  assert.equal(order.submission.mail, undefined);
});

test('Why it was refused is told until something changes, and all that is typed stays.', async () => {
  const order = new Order('run.sh');
  order.change(({ texts }) => (texts.time = '2 weeks'));
  const refused = await order.submit(() => Promise.reject(new Error('no such time')));
  assert.deepEqual([refused, order.error, order.busy], [null, 'no such time', false]);
  assert.equal(order.texts.time, '2 weeks');
  order.change(({ texts }) => (texts.time = '2h'));
  assert.equal(order.error, '');
  const job = await order.submit(sent => {
    assert.equal(order.busy, true);
    assert.deepEqual(sent.options, { time: '2h' });
    return Promise.resolve({ job_id: '7' } as Job);
  });
  assert.equal(job?.job_id, '7');
});

test('Spaces around a typed path are none of it; those of a file are its own.', () => {
  assert.deepEqual(new Order(' a b.sh ', true).submission, { script: 'a b.sh' });
  assert.deepEqual(new Order(' a b.sh ').submission, { script: ' a b.sh ' });
});
