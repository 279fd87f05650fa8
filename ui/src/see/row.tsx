/**
 * One kernel in the panel: a line or two, and all about it when it is opened.
 *
 * Of two hundred only those are made anew that changed; what counts down changes by itself.
 */

import React, { memo, type ReactNode } from 'react';

import type { Kernel } from '../server/types.js';
import { percent } from '../words.js';
import { ACTIONS } from './actions.js';
import * as say from './brief.js';
import { type Compute, useClock } from './compute.js';

/** A share of something, as a bar and in words. */
export function Meter(props: {
  label: string;
  value: number | null;
  text: string;
  kind?: string;
}): React.JSX.Element {
  const { label, value, text, kind = '' } = props;
  return (
    <div className="rk-Meter">
      <span>{label}</span>
      <span>{text}</span>
      {value !== null && (
        <div
          className={`rk-Bar ${kind}`}
          role="meter"
          aria-label={label}
          aria-valuenow={value}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuetext={text}
        >
          <div style={{ width: `${value}%` }} />
        </div>
      )}
    </div>
  );
}

interface Props {
  compute: Compute;
  kernel: Kernel;
  isOpen: boolean;
  /** Whether Tab comes to this one; arrows lead to the others. */
  isTabStop: boolean;
  toggle: (id: string) => void;
}

/** States that need more than a word. */
const explained = ['waiting', 'suspended', 'ended', 'unknown'];

const warns = (nearness: say.Nearness): string => (nearness ? `rk-mod-${nearness}` : '');

export const KernelRow = memo(function KernelRow(props: Props): React.JSX.Element {
  const { compute, kernel, isOpen, isTabStop, toggle } = props;
  const id = `rk-${kernel.kernel_id}`;
  return (
    <li className={`rk-Row rk-is-${kernel.state}`} data-kernel={kernel.kernel_id}>
      <button
        type="button"
        className="rk-Row-head"
        tabIndex={isTabStop ? 0 : -1}
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        title={say.calledInFull(kernel)}
        onClick={() => toggle(kernel.kernel_id)}
      >
        <span className="rk-Row-name">{say.called(kernel)}</span>
        <Left compute={compute} kernel={kernel} />
        <Where compute={compute} kernel={kernel} />
        <Used compute={compute} kernel={kernel} />
        {explained.includes(kernel.state) && <span className="rk-Row-why">{kernel.text}</span>}
      </button>
      {isOpen && <Details id={id} compute={compute} kernel={kernel} />}
    </li>
  );
});

interface Of {
  compute: Compute;
  kernel: Kernel;
}

function Left({ compute, kernel }: Of): React.JSX.Element | null {
  const text = useClock(compute.clock, now => say.timeLeft(kernel, now, compute.trans));
  const share = useClock(compute.clock, now => say.shareLeft(kernel, now));
  const near = useClock(compute.clock, now => say.nearness(kernel, now));
  if (!text) {
    return null;
  }
  return (
    <>
      <span className={`rk-Row-left ${warns(near)}`}>{text}</span>
      <span className={`rk-Bar rk-Row-bar ${warns(near)}`} aria-hidden="true">
        <span style={{ width: `${share ?? 0}%` }} />
      </span>
    </>
  );
}

function Where({ compute, kernel }: Of): React.JSX.Element {
  const text = useClock(compute.clock, now => say.stateAndPlace(kernel, now, compute.trans));
  return <span className="rk-Row-where">{text}</span>;
}

function Used({ compute, kernel }: Of): React.JSX.Element | null {
  const { usage } = kernel;
  const text = [say.load(usage, compute.trans), say.memory(usage, compute.trans)];
  return usage && <span className="rk-Row-used">{text.filter(Boolean).join(' · ')}</span>;
}

function Details({ id, compute, kernel }: Of & { id: string }): React.JSX.Element {
  const { trans, clock } = compute;
  const at = (time: number | null): string => (time === null ? '' : say.moment(time, clock.now));
  const job = `${kernel.job_id} (${[kernel.scheduler, kernel.cluster].filter(Boolean).join(', ')})`;
  const facts: [string, ReactNode][] = [
    [trans.__('Notebook'), kernel.notebooks.join(', ')],
    [trans.__('Kernel'), kernel.name],
    [trans.__('Now'), explained.includes(kernel.state) ? '' : kernel.text],
    [trans.__('Job'), kernel.job_id && job],
    [trans.__('Submitted'), at(kernel.submitted)],
    [trans.__('Expected start'), kernel.state === 'waiting' ? at(kernel.expected_start) : ''],
    [trans.__('Ready since'), at(kernel.ready)],
    [trans.__('Time ends'), at(kernel.ends)]
  ];
  return (
    <div id={id} className="rk-Details">
      <dl>
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <React.Fragment key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </React.Fragment>
          ))}
      </dl>
      <Meters compute={compute} kernel={kernel} />
      <Actions compute={compute} kernel={kernel} />
    </div>
  );
}

function Meters({ compute, kernel }: Of): React.JSX.Element {
  const { trans, clock } = compute;
  const { usage } = kernel;
  const left = useClock(clock, now => say.timeLeft(kernel, now, trans));
  const share = useClock(clock, now => say.shareLeft(kernel, now));
  const near = useClock(clock, now => say.nearness(kernel, now));
  const cpu = usage?.cpu_percent ?? null;
  const memory = say.memory(usage, trans);
  const full = percent(usage?.memory ?? null, usage?.memory_limit ?? null);
  return (
    <>
      {left && <Meter label={trans.__('Time left')} value={share} text={left} kind={warns(near)} />}
      {cpu !== null && (
        <Meter
          label={usage?.cpus ? trans.__('CPU (of %1)', usage.cpus) : trans.__('CPU')}
          value={percent(cpu, 100)}
          text={`${Math.round(cpu)} %`}
        />
      )}
      {memory && (
        <Meter
          label={trans.__('Memory')}
          value={full}
          text={memory}
          kind={full !== null && full >= 90 ? 'rk-mod-near' : ''}
        />
      )}
      {usage?.gpus.map(gpu => {
        const busy = gpu.utilization === null ? '' : `${Math.round(gpu.utilization)} %`;
        const text = [busy, say.memory(gpu, trans)].filter(Boolean).join(' · ');
        const label = trans.__('GPU %1', gpu.index);
        return (
          <div key={gpu.index} title={gpu.name}>
            <Meter label={label} value={gpu.utilization} text={text} />
          </div>
        );
      })}
    </>
  );
}

function Actions({ compute, kernel }: Of): React.JSX.Element {
  const { commands } = compute.app;
  const args = { kernel_id: kernel.kernel_id };
  const suiting = ACTIONS.filter(id => commands.hasCommand(id) && commands.isVisible(id, args));
  const label = compute.trans.__('What to do with %1', say.called(kernel));
  return (
    <div className="rk-Actions" role="group" aria-label={label}>
      {suiting.map(id => (
        <button
          key={id}
          type="button"
          className="jp-mod-styled rk-Button"
          title={commands.caption(id, args)}
          onClick={() => void commands.execute(id, args)}
        >
          {commands.label(id, args)}
        </button>
      ))}
    </div>
  );
}
