/**
 * The command that submits a file as a job, for each place where it stands.
 *
 * Its argument `from` says which file is meant: "browser", the selected one; "notebook",
 * the notebook in front; without it, the document in front, and another may be typed.
 */

import type { ICommandPalette } from '@jupyterlab/apputils';
import { DocumentWidget } from '@jupyterlab/docregistry';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { LabIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { Compute } from '../see/compute.js';
import { showError } from '../see/actions.js';
import type { Job } from '../server/types.js';
import { isNotebook } from './order.js';

export const SUBMIT = 'remote-kernels:submit';

type Args = ReadonlyPartialJSONObject;

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M4 14h16a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1Zm1 2v3h14v-3Zm2 .5h2v2H7Zm3 0h2v2h-2ZM11 2h2v6h3l-4 4.5L8 8h3Z"/>
</svg>`;

export const submitIcon = new LabIcon({ name: '@remote-kernels/ui:submit', svgstr: SVG });

/** Add it; `submitted` is told of each job. */
export function addCommands(
  compute: Compute,
  browsers: IFileBrowserFactory | null,
  palette: ICommandPalette | null,
  submitted: (job: Job) => void
): void {
  const { app, trans, notebooks } = compute;

  /** The one file that is selected, if it is a notebook or text. */
  const selected = (): string | undefined => {
    const [item, ...others] = browsers?.tracker.currentWidget?.selectedItems() ?? [];
    if (!item || others.length || item.type === 'directory') {
      return undefined;
    }
    const kind = app.docRegistry.getFileTypeForModel(item);
    const suits = kind.contentType === 'notebook' || (kind.fileFormat ?? 'text') === 'text';
    return suits ? item.path : undefined;
  };

  const meant = ({ from, path }: Args): string | undefined => {
    if (typeof path === 'string') {
      return path;
    }
    if (from === 'browser') {
      return selected();
    }
    if (from === 'notebook') {
      return notebooks?.currentWidget?.context.path;
    }
    const { currentWidget: front } = app.shell;
    return front instanceof DocumentWidget ? front.context.path : '';
  };

  const label = (args: Args): string => {
    if (args.isPalette && args.from) {
      return trans.__('Run Notebook as Job…');
    }
    if (!args.from && typeof args.path !== 'string') {
      return trans.__('Submit Job…');
    }
    return isNotebook(meant(args) ?? '') || args.from === 'notebook'
      ? trans.__('Run as Job…')
      : trans.__('Submit as Job…');
  };

  app.commands.addCommand(SUBMIT, {
    label,
    caption: ({ from }) =>
      from === 'notebook'
        ? trans.__('Run this notebook as a job, without a page')
        : trans.__('Have the batch system run this file'),
    icon: ({ isPalette }) => (isPalette ? undefined : submitIcon),
    isEnabled: args => meant(args) !== undefined,
    isVisible: args => args.from !== 'browser' || meant(args) !== undefined,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: { type: 'string', description: 'The script or the notebook' },
          from: { type: 'string', enum: ['browser', 'notebook'] }
        }
      }
    },
    execute: async args => {
      const path = meant(args);
      if (path === undefined) {
        return;
      }
      try {
        const { submit } = await import('./flow.js');
        await submit(compute, path, !args.from && typeof args.path !== 'string', submitted);
      } catch (reason) {
        await showError(trans.__('Could not ask for a job'), reason);
      }
    }
  });
  const category = trans.__('Remote Kernels');
  palette?.addItem({ command: SUBMIT, category, args: { isPalette: true } });
  palette?.addItem({ command: SUBMIT, category, args: { isPalette: true, from: 'notebook' } });
  const changed = (): void => app.commands.notifyCommandChanged(SUBMIT);
  notebooks?.currentChanged.connect(changed);
  app.shell.currentChanged?.connect(changed);
}
