import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EndCause, Job, JobEnd, Jobs } from '../server/types.js';
import { english } from '../words.js';
import { called, isGood, type Store, Watch } from './watch.js';

class Played implements Store {
  readonly items = new Map<string, string>();
  getItem = (key: string): string | null => this.items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.items.set(key, value);
  removeItem = (key: string): void => void this.items.delete(key);
}

const END: JobEnd = { word: 'COMPLETED', exit_code: 0, signal: null, text: 'It has ended.', cause: 'finished' };

const job = (id: string, end: JobEnd | null = null): Job =>
  ({ job_id: id, scheduler: 'slurm', name: 'run', submitted: 10, end }) as Job;

const told = (jobs: Job[], asked: number | null = 20, error: string | null = null): Jobs => ({
  asked,
  jobs,
  error
});

const ids = (jobs: Job[]): string[] => jobs.map(({ job_id }) => job_id);

test('Each job that was submitted here is told of once, when it has ended.', () => {
  const watch = new Watch(new Played(), 'key');
  watch.add(job('1'));
  watch.add(job('2'));
  assert.deepEqual(watch.take(told([job('1'), job('2'), job('3', END)])), []);
  assert.deepEqual(ids(watch.take(told([job('1', END), job('2')]))), ['1']);
  assert.deepEqual(watch.take(told([job('1', END), job('2')])), []);
  assert.equal(watch.isEmpty, false);
});

test('A page to come tells of a job that ended meanwhile; one after that does not.', () => {
  const store = new Played();
  new Watch(store, 'key').add(job('1'));
  const next = new Watch(store, 'key');
  assert.deepEqual(ids(next.take(told([job('1', END)]))), ['1']);
  assert.equal(store.items.size, 0);
  assert.equal(new Watch(store, 'key').isEmpty, true);
});

test('Of two pages that are open each tells, whichever submitted it.', () => {
  const store = new Played();
  const [one, other] = [new Watch(store, 'key'), new Watch(store, 'key')];
  one.add(job('1'));
  other.addStored();
  const list = told([job('1', END)]);
  assert.deepEqual([ids(one.take(list)), ids(other.take(list))], [['1'], ['1']]);
  other.addStored();
  assert.equal(other.isEmpty, true);
});

test('A job that is gone is forgotten, but not by a list that is older, or not whole.', () => {
  const watch = new Watch(new Played(), 'key');
  watch.add(job('1'));
  for (const list of [told([], 5), told([], 20, 'no answer'), told([], null)]) {
    assert.deepEqual(watch.take(list), []);
    assert.equal(watch.isEmpty, false);
  }
  assert.deepEqual(watch.take(told([])), []);
  assert.equal(watch.isEmpty, true);
});

test('What is stored by others, or cannot be, does no harm.', () => {
  const store = new Played();
  for (const text of ['{', '[]', 'null', '{"slurm 1": "x"}']) {
    store.items.set('key', text);
    assert.equal(new Watch(store, 'key').isEmpty, true);
  }
  store.setItem = () => {
    throw new Error('full');
  };
  const watch = new Watch(store, 'key');
  watch.add(job('1'));
  assert.deepEqual(ids(watch.take(told([job('1', END)]))), ['1']);
});

test('A job goes by its notebook or name, and its number; it is good only where it finished.', () => {
  assert.equal(called(job('7'), english), 'run (job 7)');
  assert.equal(called({ ...job('7'), notebook: 'a/b.ipynb' }, english), 'b.ipynb (job 7)');
  const good = (cause: EndCause): boolean => isGood(job('1', { ...END, cause }));
  assert.deepEqual(
    [good('finished'), good('failed'), good('cancelled'), good('unknown')],
    [true, false, false, false]
  );
});
