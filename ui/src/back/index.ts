/**
 * Come back to a notebook: its cells fill in with what the server held.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [];
