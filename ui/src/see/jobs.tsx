/**
 * The panel's list of jobs that are no kernels: asked for only while somebody looks.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { cancelJob, RestError } from '../server/rest.js';
import type { Job } from '../server/types.js';
import { state } from '../words.js';
import { showError } from './actions.js';
import { jobName, moment } from './brief.js';
import type { Compute } from './compute.js';
import { openFile } from './open.js';
import { openJobLog } from './log.js';

export const hasEnded = ({ state }: Job): boolean => state === 'ended' || state === 'ending';

/** "running · c1", "waiting · starts ~14:30". */
export function jobWords(job: Job, now: number, trans: Compute['trans']): string {
  const { state: name, expected_start: start, node, ends } = job;
  const until = name === 'running' && ends !== null ? trans.__('until %1', moment(ends, now)) : '';
  const from = name === 'waiting' && start !== null ? trans.__('starts ~%1', moment(start, now)) : '';
  return [state(name, trans), node, from, until].filter(Boolean).join(' · ');
}

/** Cancel a job, if that is what is wanted. */
export async function cancel(compute: Compute, job: Job): Promise<void> {
  const { trans } = compute;
  const title = trans.__('Cancel job %1?', `${job.job_id} ${job.name}`);
  const lost = trans.__('What it has not written yet is lost.');
  if (await compute.confirms(title, lost, trans.__('Cancel the job'))) {
    await end(compute, job);
  }
}

/** Cancel a job without asking; one that has ended is forgotten. */
export async function end({ trans, settings, jobs }: Compute, job: Job): Promise<void> {
  try {
    await cancelJob(settings, job.job_id);
  } catch (reason) {
    await showError(trans.__('Could not cancel job %1', job.job_id), reason);
  }
  await jobs.refresh();
}

export class JobsSection extends ReactWidget {
  constructor(private readonly _compute: Compute) {
    super();
    this.addClass('rk-Section');
    this.title.label = _compute.trans.__('My other jobs');
    _compute.jobs.changed.connect(this._changed);
  }

  override dispose(): void {
    this._compute.jobs.changed.disconnect(this._changed);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._compute.jobs.isShown = true;
    this.update();
  }

  protected override onBeforeHide(message: Message): void {
    this._compute.jobs.isShown = false;
    super.onBeforeHide(message);
  }

  protected override render(): React.JSX.Element {
    const { trans, jobs } = this._compute;
    const { value, error } = jobs;
    return (
      <>
        <div role="status">
          {error && <p className="rk-Error">{error.message}</p>}
          {value?.error && <p className="rk-Error">{value.error}</p>}
          {!value && !error && <p className="rk-Empty">{trans.__('Asking…')}</p>}
          {value?.jobs.length === 0 && (
            <p className="rk-Empty">{trans.__('You have no other jobs.')}</p>
          )}
        </div>
        <ul aria-label={this.title.label}>
          {value?.jobs.map(job => (
            <JobRow key={`${job.scheduler} ${job.job_id}`} compute={this._compute} job={job} />
          ))}
        </ul>
      </>
    );
  }

  private readonly _changed = (): void => {
    const { error } = this._compute.jobs;
    if (error instanceof RestError && error.status === 404) {
      this.parent = null; // a server without jobs
    } else if (this.isVisible) {
      this.update();
    }
  };
}

function JobRow({ compute, job }: { compute: Compute; job: Job }): React.JSX.Element {
  const { trans } = compute;
  const name = jobName(job, trans);
  const words = jobWords(job, compute.clock.now, trans);
  return (
    <li className={`rk-Row rk-is-${job.state}`}>
      <div className="rk-Row-head" title={[name, job.end?.text ?? job.text].join('\n')}>
        <span className="rk-Row-name">{name}</span>
        <span className="rk-Row-left">{job.job_id}</span>
        <span className="rk-Row-where">{words}</span>
        {job.end?.text && <span className="rk-Row-why">{job.end.text}</span>}
      </div>
      <div className="rk-Actions" role="group" aria-label={trans.__('What to do with %1', name)}>
        {job.log && (
          <button
            type="button"
            className="jp-mod-styled rk-Button"
            onClick={() => void openJobLog(compute, job)}
          >
            {trans.__('Log')}
          </button>
        )}
        {[job.result, job.report].map(path => path && <Result key={path} {...{ compute, path }} />)}
        {(!hasEnded(job) || job.ours) && (
          <button
            type="button"
            className="jp-mod-styled rk-Button"
            onClick={() => void (hasEnded(job) ? end : cancel)(compute, job)}
          >
            {hasEnded(job) ? trans.__('Remove') : trans.__('Cancel…')}
          </button>
        )}
      </div>
    </li>
  );
}

function Result({ compute, path }: { compute: Compute; path: string }): React.JSX.Element {
  const open = (): void => void openFile(compute, path);
  return (
    <button type="button" className="jp-mod-styled rk-Button" title={path} onClick={open}>
      {compute.trans.__('Open %1', path.slice(path.lastIndexOf('/') + 1))}
    </button>
  );
}
