/**
 * Submit jobs of one's own, that are no kernels: a script as it is, or a notebook.
 *
 * Their state, log and end are in the panel, which `see/` has.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';

import { type Compute, ICompute } from '../see/compute.js';
import { addCommands } from './commands.js';
import { tellEnds } from './ended.js';

const submit: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:submit',
  description: 'Submits scripts and notebooks as jobs, and tells when they have ended.',
  autoStart: true,
  requires: [ICompute],
  optional: [IFileBrowserFactory, ICommandPalette],
  activate: (
    _: JupyterFrontEnd,
    compute: Compute,
    browsers: IFileBrowserFactory | null,
    palette: ICommandPalette | null
  ): void => addCommands(compute, browsers, palette, tellEnds(compute))
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [submit];
