/**
 * See what runs: the panel, the section in Running, the status item, the chip.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [];
