/**
 * Tells that a job that was submitted in this browser has ended, in this page or the next.
 */

import { Notification } from '@jupyterlab/apputils';

import { SHOW } from '../see/actions.js';
import type { Compute } from '../see/compute.js';
import { openJobLog } from '../see/log.js';
import type { Job } from '../server/types.js';
import { called, isGood, Watch } from './watch.js';

/** Start to tell; returns what is to be called with each job that is submitted. */
export function tellEnds(compute: Compute): (job: Job) => void {
  const { jobs, settings } = compute;
  const key = `remote-kernels jobs ${settings.baseUrl}`;
  const watch = new Watch(window.localStorage, key);
  const look = (): void => jobs.wanted('ends', !watch.isEmpty);
  jobs.changed.connect(() => {
    if (jobs.value) {
      watch.take(jobs.value).forEach(job => tell(compute, job));
      look();
    }
  });
  window.addEventListener('storage', event => {
    if (event.key === key) {
      watch.addStored();
      look();
    }
  });
  look();
  return job => {
    watch.add(job);
    look();
    void jobs.refresh();
  };
}

function tell(compute: Compute, job: Job): void {
  const { trans, app } = compute;
  const { commands } = app;
  const actions: Notification.IAction[] = [];
  const open = (label: string, path: string | null): void => {
    if (path) {
      actions.push({ label, callback: () => void commands.execute('docmanager:open', { path }) });
    }
  };
  open(trans.__('Open result'), job.result);
  open(trans.__('Open report'), job.report);
  if (job.log) {
    actions.push({ label: trans.__('Log'), callback: () => void openJobLog(compute, job) });
  }
  const show = (): void => void commands.execute(SHOW, { jobs: true });
  actions.push({ label: trans.__('Show'), callback: show });
  const text = `${called(job, trans)}: ${job.end?.text ?? job.text}`;
  Notification.emit(text, isGood(job) ? 'success' : 'error', { autoClose: false, actions });
}
