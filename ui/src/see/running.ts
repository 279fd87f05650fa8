/**
 * Our kernels, and jobs of one's own when they are known, in Lab's own list of what runs.
 */

import type { IRunningSessions } from '@jupyterlab/running';
import { consoleIcon, notebookIcon } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';

import type { Job, Kernel } from '../server/types.js';
import { SHOW, showError, shutDown } from './actions.js';
import { brief, called, calledInFull } from './brief.js';
import type { Compute } from './compute.js';
import { nodeIcon } from './icon.js';
import { end, hasEnded, jobWords } from './jobs.js';

/** The section for `IRunningSessionManagers.add`. */
export function section(compute: Compute): IRunningSessions.IManager {
  const { trans, store, jobs } = compute;
  const changed = new Signal<object, void>({});
  for (const one of [store.changed, jobs.changed]) {
    one.connect(() => changed.emit());
  }
  const livingJobs = (): Job[] => (jobs.value?.jobs ?? []).filter(job => !hasEnded(job));
  const living = (): Kernel[] => store.kernels.filter(({ state }) => state !== 'ended');
  return {
    name: trans.__('Kernels in jobs'),
    running: () => [
      ...living().map(kernel => kernelItem(compute, kernel)),
      ...livingJobs().map(job => jobItem(compute, job))
    ],
    shutdownAll: () => {
      for (const kernel of living()) {
        void endKernel(compute, kernel);
      }
    },
    refreshRunning: () => void store.refresh(),
    runningChanged: changed,
    shutdownLabel: trans.__('Shut Down'),
    shutdownAllLabel: trans.__('Shut Down All'),
    shutdownAllConfirmationText: trans.__(
      'Are you sure you want to shut down all kernels that run in jobs? Their variables are lost.'
    )
  };
}

async function endKernel(compute: Compute, kernel: Kernel): Promise<void> {
  await shutDown(compute, kernel).catch((reason: unknown) =>
    showError(compute.trans.__('Could not shut down %1', called(kernel)), reason)
  );
}

function kernelItem(compute: Compute, kernel: Kernel): IRunningSessions.IRunningItem {
  const { trans, app } = compute;
  return {
    icon: () => (kernel.notebooks.length ? notebookIcon : consoleIcon),
    label: () => called(kernel),
    labelTitle: () => `${calledInFull(kernel)}\n${kernel.text}`,
    detail: () => brief({ ...kernel, usage: null }, Date.now() / 1000, trans).text,
    open: () => void app.commands.execute(SHOW, { kernel_id: kernel.kernel_id }),
    shutdown: () => void endKernel(compute, kernel)
  };
}

function jobItem(compute: Compute, job: Job): IRunningSessions.IRunningItem {
  const { trans } = compute;
  return {
    icon: () => nodeIcon,
    label: () => job.name || trans.__('Job %1', job.job_id),
    labelTitle: () => job.text,
    detail: () => jobWords(job, Date.now() / 1000, trans),
    open: () => void compute.app.commands.execute(SHOW),
    shutdown: () => void end(compute, job)
  };
}
