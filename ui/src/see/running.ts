/**
 * Our kernels, and jobs of one's own when they are known, in Lab's own list of what runs.
 */

import type { IRunningSessions } from '@jupyterlab/running';
import { consoleIcon, notebookIcon } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';

import type { Job, Kernel } from '../server/types.js';
import { cancelJob } from '../server/rest.js';
import { SHOW, showError, shutDown } from './actions.js';
import { called, calledInFull, stateAndPlace, timeLeft } from './brief.js';
import type { Compute } from './compute.js';
import { nodeIcon } from './icon.js';
import { hasEnded, jobWords } from './jobs.js';

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
        void end(compute, kernel);
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

async function end(compute: Compute, kernel: Kernel): Promise<void> {
  await shutDown(compute, kernel).catch((reason: unknown) =>
    showError(compute.trans.__('Could not shut down %1', called(kernel)), reason)
  );
}

function kernelItem(compute: Compute, kernel: Kernel): IRunningSessions.IRunningItem {
  const { trans, app } = compute;
  const detail = (): string => {
    const now = Date.now() / 1000;
    const rest = timeLeft(kernel, now, trans);
    const where = stateAndPlace(kernel, now, trans);
    return [where, rest && trans.__('%1 left', rest)].filter(Boolean).join(' · ');
  };
  return {
    icon: () => (kernel.notebooks.length ? notebookIcon : consoleIcon),
    label: () => called(kernel),
    labelTitle: () => `${calledInFull(kernel)}\n${kernel.text}`,
    detail,
    open: () => void app.commands.execute(SHOW, { kernel_id: kernel.kernel_id }),
    shutdown: () => void end(compute, kernel)
  };
}

function jobItem(compute: Compute, job: Job): IRunningSessions.IRunningItem {
  const { trans, settings, jobs } = compute;
  const cancel = async (): Promise<void> => {
    await cancelJob(settings, job.job_id).catch((reason: unknown) =>
      showError(trans.__('Could not cancel job %1', job.job_id), reason)
    );
    await jobs.refresh();
  };
  return {
    icon: () => nodeIcon,
    label: () => job.name || trans.__('Job %1', job.job_id),
    labelTitle: () => job.text,
    detail: () => jobWords(job, Date.now() / 1000, trans),
    open: () => void compute.app.commands.execute(SHOW),
    shutdown: () => void cancel()
  };
}
