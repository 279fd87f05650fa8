/**
 * What all that shows kernels has in common: the store, the clock, the commands' names.
 *
 * The panel's plugin makes it; Running, the status bar and the toolbar get it by its token.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';
import { useSyncExternalStore } from 'react';

import type { IKernelStore } from '../server/kernels.js';
import { listJobs, listKernelspecs, listQueues } from '../server/rest.js';
import type { ServerEvent } from '../server/store.js';
import { JOBS_EVENT, type Jobs, type Kernel, QUEUES_EVENT, type Queues } from '../server/types.js';
import { LAST } from './brief.js';
import { Clock } from './clock.js';
import { Live } from './live.js';

export const ICompute = new Token<Compute>(
  '@remote-kernels/ui:ICompute',
  'What the parts that show remote kernels have in common.'
);

export class Compute {
  constructor(
    readonly app: JupyterFrontEnd,
    readonly store: IKernelStore,
    readonly trans: TranslationBundle,
    /** Open notebooks, where there can be any. */
    readonly notebooks: INotebookTracker | null
  ) {
    const { settings } = this;
    this.jobs = new Live(() => listJobs(settings));
    this.queues = new Live(() => this._listQueues());
    this.clock = new Clock(now =>
      store.kernels.some(({ ends, state }) =>
        ends !== null && state !== 'ended' && ends > now - 1 && ends - now <= LAST + 10
      )
    );
    let wasAway = false;
    store.changed.connect(() => {
      this.clock.wake();
      if (wasAway && !store.away) {
        void this.jobs.refresh();
        void this.queues.refresh();
      }
      wasAway = store.away;
    });
    app.serviceManager.events.stream.connect((_, event) => this._take(event));
    document.addEventListener('visibilitychange', () => {
      this.clock.isShown = !document.hidden;
    });
  }

  readonly clock: Clock;
  readonly jobs: Live<Jobs>;
  readonly queues: Live<Queues[]>;

  get settings(): JupyterFrontEnd['serviceManager']['serverSettings'] {
    return this.app.serviceManager.serverSettings;
  }

  /** Whether this page's server has the kernel: only then it can be interrupted. */
  isHere({ kernel_id }: Kernel): boolean {
    for (const { id } of this.app.serviceManager.kernels.running()) {
      if (id === kernel_id) {
        return true;
      }
    }
    return false;
  }

  /** The open notebook that uses a kernel. */
  notebookOf(kernel: Kernel): NotebookPanel | undefined {
    return this.notebooks?.find(panel => idIn(panel) === kernel.kernel_id);
  }

  /** The kernel of the notebook that is in front, if it is one of ours. */
  get current(): Kernel | undefined {
    return this.store.get(idIn(this.notebooks?.currentWidget));
  }

  /** Ask before something is lost. */
  async confirms(title: string, body: string, label: string): Promise<boolean> {
    const buttons = [
      Dialog.cancelButton({ label: this.trans.__('Cancel') }),
      Dialog.warnButton({ label })
    ];
    return (await showDialog({ title, body, buttons })).button.accept;
  }

  private _take(event: ServerEvent): void {
    if (event.schema_id === JOBS_EVENT) {
      this.jobs.take(event as unknown as Jobs);
    } else if (event.schema_id === QUEUES_EVENT) {
      const told = event as unknown as Queues;
      const others = (this.queues.value ?? []).filter(one => one.scheduler !== told.scheduler);
      this.queues.take([...others, told]);
    }
  }

  private async _listQueues(): Promise<Queues[]> {
    const specs = await listKernelspecs(this.settings);
    const schedulers = [...new Set(specs.map(({ scheduler }) => scheduler))];
    const answers = await Promise.allSettled(
      schedulers.map(scheduler => listQueues(this.settings, scheduler))
    );
    const good = answers.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
    const bad = answers.find(one => one.status === 'rejected');
    if (bad && !good.length) {
      throw bad.reason;
    }
    return good;
  }
}

/** The ID of a notebook's kernel. */
export const idIn = (panel: NotebookPanel | null | undefined): string | undefined =>
  panel?.sessionContext.session?.kernel?.id;

/** What `read` makes of the time of now; a component is made anew when that changes. */
export function useClock<T extends string | number | null>(
  clock: Clock,
  read: (now: number) => T
): T {
  return useSyncExternalStore(clock.subscribe, () => read(clock.now));
}
