/**
 * The side panel Compute: my kernels, my other jobs, the partitions.
 */

import { SidePanel } from '@jupyterlab/ui-components';
import type { ITranslator } from '@jupyterlab/translation';
import type { AccordionPanel, Widget } from '@lumino/widgets';

import type { Compute } from './compute.js';
import { nodeIcon } from './icon.js';
import { JobsSection } from './jobs.js';
import { KernelsSection } from './kernels.js';
import { QueuesSection } from './queues.js';

export class ComputePanel extends SidePanel {
  constructor(compute: Compute, translator: ITranslator) {
    super({ translator });
    const { trans } = compute;
    this.id = 'remote-kernels-compute';
    this.addClass('rk-Panel');
    this.title.icon = nodeIcon;
    this.title.caption = trans.__('Compute: my kernels and jobs on the cluster');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Compute'));
    this.kernels = new KernelsSection(compute);
    this.addWidget(this.kernels);
    this.addWidget(new JobsSection(compute));
    this.addWidget(new QueuesSection(compute));
    const accordion = this.content as AccordionPanel;
    accordion.collapse(1);
    accordion.collapse(2);
    accordion.expansionToggled.connect(() => {
      // One that was never open has no height to come back to.
      const share = (widget: Widget): number => (widget === this.kernels ? 3 : 2);
      const sizes = accordion.widgets.map(widget => (widget.isHidden ? 0 : share(widget)));
      accordion.setRelativeSizes(sizes);
    });
  }

  /** Unfold the list of other jobs. */
  showJobs(): void {
    (this.content as AccordionPanel).expand(1);
  }

  readonly kernels: KernelsSection;
}
