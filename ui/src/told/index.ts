/**
 * Be told of a kernel: that it started, that its limit is near, that it ended.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [];
