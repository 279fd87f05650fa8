/**
 * The panel's list of partitions, with what is free: asked for only while somebody looks.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import React from 'react';

import type { Queue } from '../server/types.js';
import { percent, span } from '../words.js';
import type { Compute } from './compute.js';
import { Meter } from './row.js';

export class QueuesSection extends ReactWidget {
  constructor(private readonly _compute: Compute) {
    super();
    this.addClass('rk-Section');
    this.node.tabIndex = 0; // or the keyboard cannot scroll it
    this.title.label = _compute.trans.__('What is free');
    _compute.queues.changed.connect(this._changed);
  }

  override dispose(): void {
    this._compute.queues.changed.disconnect(this._changed);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._compute.queues.isShown = true;
    this.update();
  }

  protected override onBeforeHide(message: Message): void {
    this._compute.queues.isShown = false;
    super.onBeforeHide(message);
  }

  protected override render(): React.JSX.Element {
    const { trans, queues } = this._compute;
    const { value, error } = queues;
    const several = (value?.length ?? 0) > 1;
    return (
      <>
        <div role="status">
          {error && <p className="rk-Error">{error.message}</p>}
          {!value && !error && <p className="rk-Empty">{trans.__('Asking…')}</p>}
        </div>
        <ul aria-label={this.title.label}>
          {value?.flatMap(({ scheduler, queues }) =>
            queues.map(queue => (
              <QueueRow
                key={`${scheduler} ${queue.name}`}
                compute={this._compute}
                queue={queue}
                of={several ? scheduler : ''}
              />
            ))
          )}
        </ul>
      </>
    );
  }

  private readonly _changed = (): void => {
    if (this.isVisible) {
      this.update();
    }
  };
}

function QueueRow(props: { compute: Compute; queue: Queue; of: string }): React.JSX.Element {
  const { queue, of } = props;
  const { trans } = props.compute;
  const name = [queue.name, queue.is_default ? trans.__('(default)') : '', of].filter(Boolean);
  const limit = queue.time_limit === null ? trans.__('no limit') : span(queue.time_limit, trans);
  type Share = [string, number | null, number | null];
  const { nodes, cores } = queue;
  const shares: Share[] = [
    ...(nodes ? [[trans.__('Nodes free'), nodes.total, nodes.free] as Share] : []),
    ...(cores ? [[trans.__('Cores free'), cores.total, cores.free] as Share] : []),
    ...queue.gpus.map(({ kind, total, free }): Share => [
      kind ? trans.__('GPUs free (%1)', kind) : trans.__('GPUs free'),
      total,
      free
    ])
  ];
  return (
    <li className={`rk-Row ${queue.state === 'up' ? '' : 'rk-is-ended'}`}>
      <div className="rk-Row-head" title={[queue.name, queue.note].filter(Boolean).join('\n')}>
        <span className="rk-Row-name">{name.join(' ')}</span>
        <span className="rk-Row-left">{queue.state === 'up' ? limit : queue.state}</span>
      </div>
      <div className="rk-Details">
        {shares.map(([label, total, free]) => (
          <Meter
            key={label}
            label={label}
            value={percent(free, total)}
            text={`${free ?? '?'} / ${total ?? '?'}`}
          />
        ))}
        {queue.note && <div className="rk-Row-why">{queue.note}</div>}
      </div>
    </li>
  );
}
