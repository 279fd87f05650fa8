/**
 * Choose what a kernel gets: the dialog with its form, the launcher, links.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [];
