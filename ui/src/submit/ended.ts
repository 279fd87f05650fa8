/**
 * Tells that a job that was submitted in this browser has ended, in this page or the next.
 */

import { Notification } from '@jupyterlab/apputils';

import { SHOW } from '../see/actions.js';
import type { Compute } from '../see/compute.js';
import { openJobLog } from '../see/log.js';
import { openFile } from '../see/open.js';
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
  const actions: Notification.IAction[] = [];
  const add = (label: string, run: () => Promise<unknown>): void => {
    const callback = (event: MouseEvent): void => {
      event.preventDefault(); // or else the notice goes, and with it the other buttons
      void run();
    };
    actions.push({ label, callback });
  };
  const open = (label: string, path: string | null): void => {
    if (path) {
      add(label, () => openFile(compute, path));
    }
  };
  open(trans.__('Open result'), job.result);
  open(trans.__('Open report'), job.report);
  if (job.log) {
    add(trans.__('Log'), () => openJobLog(compute, job));
  }
  add(trans.__('Show'), () => app.commands.execute(SHOW, { jobs: true }));
  const text = `${called(job, trans)}: ${job.end?.text ?? job.text}`;
  Notification.emit(text, isGood(job) ? 'success' : 'error', { autoClose: false, actions });
}
