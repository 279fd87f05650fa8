/**
 * What can be done to a kernel, as commands: the panel's buttons run them, and the palette,
 * where they are for the notebook in front. Their argument is `{kernel_id}`.
 *
 * An error is always shown with the server's text.
 */

import { Dialog, type ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { KernelAPI } from '@jupyterlab/services';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';

import { extendKernel, kernelTerminal, stopKernel } from '../server/rest.js';
import type { Kernel } from '../server/types.js';
import { called, moment } from './brief.js';
import type { Compute } from './compute.js';
import { askMinutes } from './extend.js';
import { openLog } from './log.js';
import { showPorts } from './ports.js';
import { showStack } from './stack.js';

const TERMINAL = 'terminal:open';
const OPEN = 'docmanager:open';
/** Asks for another time limit; with `minutes` in its arguments, it does not ask. */
export const EXTEND = 'remote-kernels:extend';
/** Shows the panel, at a kernel if one is given; with `jobs`, also the other jobs. */
export const SHOW = 'remote-kernels:show';
/** Asks whether to tell outside of the page, too; of the part that tells. */
export const TELL_OUTSIDE = 'remote-kernels:tell-outside';

/** The commands that a kernel's row has as buttons, in their order. */
export const ACTIONS = [
  'remote-kernels:open-notebook',
  TELL_OUTSIDE,
  EXTEND,
  'remote-kernels:logs',
  'remote-kernels:ports',
  'remote-kernels:terminal',
  'remote-kernels:stack',
  'remote-kernels:interrupt',
  'remote-kernels:restart',
  'remote-kernels:shut-down'
];

interface Action {
  label: string;
  caption: string;
  /** Whether it makes sense for this kernel. */
  suits: (kernel: Kernel) => boolean;
  run: (kernel: Kernel, args: ReadonlyPartialJSONObject) => Promise<unknown>;
  /** What to say where it fails. */
  failed: (name: string) => string;
}

const isThere = ({ state }: Kernel): boolean =>
  ['running', 'lost', 'suspended', 'starting'].includes(state);
const hasNotEnded = ({ state }: Kernel): boolean => state !== 'ended' && state !== 'ending';

function actions(compute: Compute): Record<string, Action> {
  const { app, trans, settings } = compute;
  const isHere = (kernel: Kernel): boolean => isThere(kernel) && compute.isHere(kernel);
  return {
    'remote-kernels:open-notebook': {
      label: trans.__('Go to notebook'),
      caption: trans.__('Open the notebook that uses this kernel'),
      suits: kernel => kernel.notebooks.length > 0 && app.commands.hasCommand(OPEN),
      run: kernel => app.commands.execute(OPEN, { path: kernel.notebooks[0] ?? '' }),
      failed: name => trans.__('Could not open %1', name)
    },
    [EXTEND]: {
      label: trans.__('Extend…'),
      caption: trans.__('Give its job more time'),
      suits: kernel => isThere(kernel) && kernel.ends !== null,
      run: async (kernel, { minutes }) => {
        const more = typeof minutes === 'number' ? minutes : await askMinutes(compute, kernel);
        if (more !== null) {
          const now = await extendKernel(settings, kernel.kernel_id, more);
          const until = now.ends === null ? '' : moment(now.ends, Date.now() / 1000);
          const text = trans.__('%1 may now run until %2.', called(kernel), until);
          Notification.success(text, { autoClose: 5000 });
        }
      },
      failed: name => trans.__('Could not extend the time of %1', name)
    },
    'remote-kernels:logs': {
      label: trans.__('Logs'),
      caption: trans.__('What the job and the kernel wrote, live'),
      suits: kernel => kernel.state !== 'waiting',
      run: kernel => openLog(compute, kernel),
      failed: name => trans.__('Could not show the logs of %1', name)
    },
    'remote-kernels:ports': {
      label: trans.__('Ports…'),
      caption: trans.__('Open a dashboard, or another server that runs in the job'),
      suits: isHere,
      run: kernel => showPorts(compute, kernel),
      failed: name => trans.__('Could not show the ports of %1', name)
    },
    'remote-kernels:terminal': {
      label: trans.__('Terminal'),
      caption: trans.__('A terminal inside the job, on its node'),
      suits: kernel => isHere(kernel) && app.commands.hasCommand(TERMINAL),
      run: async kernel => {
        const { name } = await kernelTerminal(settings, kernel.kernel_id);
        await app.commands.execute(TERMINAL, { name });
      },
      failed: name => trans.__('Could not open a terminal in the job of %1', name)
    },
    'remote-kernels:stack': {
      label: trans.__('Stack'),
      caption: trans.__('Where the kernel is in its code now'),
      suits: isHere,
      run: kernel => showStack(compute, kernel),
      failed: name => trans.__('Could not get the stack of %1', name)
    },
    'remote-kernels:interrupt': {
      label: trans.__('Interrupt'),
      caption: trans.__('Interrupt the cell that runs'),
      suits: kernel => hasNotEnded(kernel) && compute.isHere(kernel),
      run: kernel => {
        const connection = compute.notebookOf(kernel)?.sessionContext.session?.kernel;
        return connection?.interrupt() ?? KernelAPI.interruptKernel(kernel.kernel_id, settings);
      },
      failed: name => trans.__('Could not interrupt %1', name)
    },
    'remote-kernels:restart': {
      label: trans.__('Restart…'),
      caption: trans.__('A new process in the same job'),
      suits: isHere,
      run: async kernel => {
        const title = trans.__('Restart the kernel of %1?', called(kernel));
        const lost = trans.__('All its variables are lost. It stays in the same job.');
        if (await compute.confirms(title, lost, trans.__('Restart'))) {
          const connection = compute.notebookOf(kernel)?.sessionContext.session?.kernel;
          await (connection?.restart() ?? KernelAPI.restartKernel(kernel.kernel_id, settings));
        }
      },
      failed: name => trans.__('Could not restart %1', name)
    },
    'remote-kernels:shut-down': {
      label: trans.__('Shut down…'),
      caption: trans.__('End the kernel and give its job back'),
      suits: hasNotEnded,
      run: async kernel => {
        const title = trans.__('Shut down the kernel of %1?', called(kernel));
        const lost = trans.__('All its variables are lost, and its job is given back.');
        if (await compute.confirms(title, lost, trans.__('Shut down'))) {
          await shutDown(compute, kernel);
        }
      },
      failed: name => trans.__('Could not shut down %1', name)
    }
  };
}

/** End a kernel without asking. An open notebook learns it at once. */
export async function shutDown(compute: Compute, kernel: Kernel): Promise<void> {
  const context = compute.notebookOf(kernel)?.sessionContext;
  await (context ? context.shutdown() : stopKernel(compute.settings, kernel.kernel_id));
}

/** The error as the server said it, in a dialog: a notice would cut it. */
export async function showError(title: string, reason: unknown): Promise<void> {
  const body = new Widget();
  body.addClass('rk-Error');
  body.node.textContent = reason instanceof Error ? reason.message : String(reason);
  await showDialog({ title, body, buttons: [Dialog.okButton()] });
}

/** Register the commands; returns after that. */
export function addActions(compute: Compute, palette: ICommandPalette | null): void {
  const { commands } = compute.app;
  const meant = (args: ReadonlyPartialJSONObject): Kernel | undefined =>
    typeof args.kernel_id === 'string' ? compute.store.get(args.kernel_id) : compute.current;
  for (const [id, action] of Object.entries(actions(compute))) {
    const suits = (args: ReadonlyPartialJSONObject): boolean => {
      const kernel = meant(args);
      return kernel !== undefined && action.suits(kernel);
    };
    commands.addCommand(id, {
      label: action.label,
      caption: action.caption,
      isEnabled: suits,
      isVisible: suits,
      describedBy: { args: { type: 'object', properties: { kernel_id: { type: 'string' } } } },
      execute: async args => {
        const kernel = meant(args);
        if (kernel) {
          await action
            .run(kernel, args)
            .catch((reason: unknown) => showError(action.failed(called(kernel)), reason));
        }
      }
    });
    palette?.addItem({ command: id, category: compute.trans.__('Remote Kernels') });
  }
}
