/**
 * The dialog, from the file to the job. Loaded when it is first opened.
 */

import { Dialog, Notification } from '@jupyterlab/apputils';
import { DocumentWidget } from '@jupyterlab/docregistry';

import { ChooseDialog } from '../choose/dialog.js';
import { ours } from '../choose/ours.js';
import { SHOW } from '../see/actions.js';
import type { Compute } from '../see/compute.js';
import { listKernelspecs, listQueues, submitJob } from '../server/rest.js';
import type { Job, Queue } from '../server/types.js';
import { type Around, OrderForm } from './form.js';
import { directives, isNotebook, Order } from './order.js';
import { called } from './watch.js';

const LARGEST = 2 ** 20; // bytes of a script that is looked into

/** The document of that path, where it is open. */
function opened({ app }: Compute, path: string): DocumentWidget | undefined {
  const { contents } = app.serviceManager;
  for (const widget of app.shell.widgets('main')) {
    if (widget instanceof DocumentWidget && contents.localPath(widget.context.path) === path) {
      return widget as DocumentWidget;
    }
  }
  return undefined;
}

async function textOf(compute: Compute, path: string): Promise<string> {
  const document = opened(compute, path);
  if (document) {
    return document.context.model.toString();
  }
  const { contents } = compute.app.serviceManager;
  const { size, type } = await contents.get(path, { content: false });
  if (type !== 'file' || (size ?? 0) > LARGEST) {
    return '';
  }
  const file = await contents.get(path, { type: 'file', format: 'text', content: true });
  return String(file.content);
}

/** The queues of the batch system that is here. */
async function queues({ settings }: Compute): Promise<Queue[]> {
  const spec = (await listKernelspecs(settings)).find(({ is_here: isHere }) => isHere);
  return spec ? (await listQueues(settings, spec.scheduler)).queues : [];
}

/** What helps to fill in the form; what cannot be known is left out of it. */
function around(compute: Compute): Around {
  return {
    directives: path => textOf(compute, path).then(directives, () => []),
    isDirty: path => opened(compute, path)?.context.model.dirty === true,
    queues: queues(compute).catch(() => []),
    kernelspecs: all => {
      const { specs } = compute.app.serviceManager.kernelspecs;
      return all ? Object.values(specs?.kernelspecs ?? {}).flatMap(spec => spec ?? []) : ours(specs);
    }
  };
}

/** Ask what the job of a file is to get, and submit it. `submitted` is told of it. */
export async function submit(
  compute: Compute,
  path: string,
  isTyped: boolean,
  submitted: (job: Job) => void
): Promise<void> {
  const { trans, settings, app } = compute;
  const order = new Order(app.serviceManager.contents.localPath(path), isTyped);
  const book = isNotebook(path) ? trans.__('Run Notebook as Job') : trans.__('Submit as Job');
  const dialog = new ChooseDialog<void>(
    {
      title: isTyped ? trans.__('Submit Job') : book,
      body: new OrderForm({ order, around: around(compute), trans }),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Submit') })
      ],
      focusNodeSelector: 'input'
    },
    async () => {
      const job = await order.submit(async submission => {
        const context = opened(compute, order.meant)?.context;
        if (context?.model.dirty) {
          await context.save();
        }
        return submitJob(settings, submission);
      });
      if (job) {
        told(compute, job);
        submitted(job);
      }
      return job !== null;
    }
  );
  await dialog.launch();
}

function told({ trans, app }: Compute, job: Job): void {
  const show = (): void => void app.commands.execute(SHOW, { jobs: true });
  Notification.success(trans.__('Submitted: %1', called(job, trans)), {
    autoClose: 10_000,
    actions: [{ label: trans.__('Show'), callback: show, displayType: 'accent' }]
  });
}
