/**
 * A log that is shown live: the last lines, and what is written from then on.
 *
 * In Lab it is a tab; in Notebook, whose main area is the notebook's alone, a dialog.
 */

import { Dialog, MainAreaWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { followKernelLog, jobLog, type Log } from '../server/rest.js';
import type { Job, Kernel } from '../server/types.js';
import { called, calledInFull } from './brief.js';
import type { Compute } from './compute.js';
import { nodeIcon } from './icon.js';
import { LINES, Tail } from './tail.js';

/** A text to follow, and what it is called. */
interface Source {
  label: string;
  read: (signal: AbortSignal) => AsyncIterable<string>;
}

class LogView extends Widget {
  constructor(
    private readonly _compute: Compute,
    name: string,
    private readonly _sources: Source[]
  ) {
    super();
    this.addClass('rk-Log');
    const { trans } = _compute;
    const bar = document.createElement('div');
    bar.className = 'rk-Log-bar';
    this._select.setAttribute('aria-label', trans.__('Which log'));
    this._select.className = 'jp-mod-styled';
    for (const { label } of _sources) {
      this._select.add(new Option(label));
    }
    this._select.hidden = _sources.length < 2;
    this._again.className = 'jp-mod-styled jp-mod-minimal';
    this._again.type = 'button';
    this._again.textContent = trans.__('Read again');
    this._select.onchange = this._again.onclick = () => void this._read();
    this._said.setAttribute('role', 'status');
    bar.append(this._select, this._again, this._said);
    this._text.className = 'rk-Text';
    this._text.tabIndex = 0;
    this._text.setAttribute('role', 'log');
    this._text.setAttribute('aria-live', 'off');
    this._text.setAttribute('aria-label', trans.__('Log of %1', name));
    this.node.append(bar, this._text);
  }

  override dispose(): void {
    this._reading.abort();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (!this._wasShown) {
      this._wasShown = true;
      void this._read();
    }
  }

  /** Read the one that is chosen, from its last lines on. */
  private async _read(): Promise<void> {
    const { trans } = this._compute;
    this._reading.abort();
    const reading = (this._reading = new AbortController());
    this._tail = new Tail();
    this._show();
    this._again.hidden = true;
    this._said.textContent = trans.__('live');
    let said = trans.__('end of the log');
    try {
      const source = this._sources[this._select.selectedIndex] ?? this._sources[0];
      for await (const chunk of source?.read(reading.signal) ?? []) {
        this._tail.add(chunk);
        this._showSoon();
      }
    } catch (reason) {
      said = reason instanceof Error ? reason.message : String(reason);
    }
    if (!reading.signal.aborted) {
      this._showSoon();
      this._said.textContent = said;
      this._again.hidden = false;
    }
  }

  private _showSoon(): void {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      if (!this.isDisposed) {
        this._show();
      }
    });
  }

  /** Stay at the end, unless somebody reads above it. */
  private _show(): void {
    const { scrollHeight, scrollTop, clientHeight } = this._text;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 40;
    const { trans } = this._compute;
    const cut = this._tail.isCut ? trans.__('(the last %1 lines)', LINES) + '\n' : '';
    this._text.textContent = cut + this._tail.text;
    if (isAtEnd) {
      this._text.scrollTop = this._text.scrollHeight;
    }
  }

  private readonly _select = document.createElement('select');
  private readonly _again = document.createElement('button');
  private readonly _said = document.createElement('span');
  private readonly _text = document.createElement('pre');
  private _tail = new Tail();
  private _reading = new AbortController();
  private _frame = 0;
  private _wasShown = false;
}

/** Show the logs of a kernel: its job's and its own. */
export async function openLog(compute: Compute, kernel: Kernel): Promise<void> {
  const { trans, settings } = compute;
  const source = (label: string, name: Log): Source => ({
    label,
    read: signal => followKernelLog(settings, kernel.kernel_id, name, signal)
  });
  const sources = [
    source(trans.__('Log of the kernel'), 'kernel'),
    source(trans.__('Log of the job'), 'job')
  ];
  await open(compute, kernel.kernel_id, called(kernel), calledInFull(kernel), sources);
}

/** Show the log of a job of one's own, as it is now. */
export async function openJobLog(compute: Compute, job: Job): Promise<void> {
  const read = async function* (): AsyncGenerator<string> {
    yield await jobLog(compute.settings, job.job_id);
  };
  const caption = compute.trans.__('Job %1', job.job_id);
  await open(compute, job.job_id, job.name || caption, caption, [{ label: caption, read }]);
}

async function open(
  compute: Compute,
  of: string,
  name: string,
  caption: string,
  sources: Source[]
): Promise<void> {
  const { app, trans } = compute;
  const id = `remote-kernels-log-${of}`;
  const known = [...app.shell.widgets('main')].find(widget => widget.id === id);
  if (known) {
    app.shell.activateById(id);
    return;
  }
  const content = new LogView(compute, name, sources);
  const title = trans.__('Log of %1', name);
  if (app.name !== 'JupyterLab') {
    const buttons = [Dialog.okButton({ label: trans.__('Close') })];
    const dialog = new Dialog({ title, body: content, buttons, hasClose: true });
    dialog.addClass('rk-LogDialog');
    await dialog.launch();
    return;
  }
  const widget = new MainAreaWidget({ content });
  widget.id = id;
  widget.title.label = title;
  widget.title.caption = caption;
  widget.title.icon = nodeIcon;
  widget.title.closable = true;
  app.shell.add(widget, 'main');
  app.shell.activateById(id);
}
