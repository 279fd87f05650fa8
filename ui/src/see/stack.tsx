/**
 * Where a kernel is in its code: its stack as text, to look at and to copy.
 */

import { Clipboard, Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import React from 'react';

import { kernelStack } from '../server/rest.js';
import type { Kernel } from '../server/types.js';
import { called } from './brief.js';
import type { Compute } from './compute.js';

export async function showStack(compute: Compute, kernel: Kernel): Promise<void> {
  const { trans, settings } = compute;
  const text = await kernelStack(settings, kernel.kernel_id);
  const title = trans.__('Stack of %1', called(kernel));
  const body = ReactWidget.create(
    <pre className="rk-Text" tabIndex={0} role="region" aria-label={title}>
      {text || trans.__('The kernel has told nothing of its stack.')}
    </pre>
  );
  const copy = Dialog.createButton({ label: trans.__('Copy'), accept: false });
  const close = Dialog.okButton({ label: trans.__('Close') });
  const { button } = await showDialog({ title, body, buttons: [copy, close], defaultButton: 1 });
  if (button.label === copy.label) {
    Clipboard.copyToSystem(text);
  }
}
