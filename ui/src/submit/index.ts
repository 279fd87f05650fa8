/**
 * Submit jobs of one's own, that are no kernels.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [];
