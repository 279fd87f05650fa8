/**
 * The plugins of this extension, part by part. Nothing else belongs here.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { plugins as back } from './back/index.js';
import { plugins as choose } from './choose/index.js';
import { plugins as see } from './see/index.js';
import { kernelStore } from './server/kernels.js';
import { plugins as submit } from './submit/index.js';
import { plugins as told } from './told/index.js';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
const plugins: JupyterFrontEndPlugin<any>[] = [
  kernelStore,
  ...choose,
  ...see,
  ...told,
  ...back,
  ...submit
];

export default plugins;
