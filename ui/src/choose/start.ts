/**
 * Start a kernel with options, and give it to a notebook: either both happen, or nothing.
 *
 * Lab's own requests carry no options, so the kernel is started by our API, and then taken
 * by its ID; the server shuts down the kernel that the notebook had, once it has the new.
 */

import type { ISessionContext } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { ServiceManager } from '@jupyterlab/services';

import { startKernel, stopKernel } from '../server/rest.js';
import type { Kernel, Start } from '../server/types.js';
import { METADATA } from './remembered.js';

type Settings = ServiceManager.IManager['serverSettings'];

/** Start a kernel and hand it on; if that fails, the kernel and its job end. */
async function started<T>(
  settings: Settings,
  start: Start,
  handOn: (kernel: Kernel) => Promise<T>
): Promise<T> {
  const kernel = await startKernel(settings, start);
  try {
    return await handOn(kernel);
  } catch (error) {
    await stopKernel(settings, kernel.kernel_id).catch((reason: unknown) =>
      console.error(`Kernel ${kernel.kernel_id} was not shut down:`, reason)
    );
    throw error;
  }
}

/** Give a notebook a new kernel; `wanted` says whether that is still so once it is there. */
export async function startIn(
  context: ISessionContext,
  { sessions, serverSettings }: ServiceManager.IManager,
  start: Start,
  wanted: () => boolean
): Promise<void> {
  await started(serverSettings, start, async ({ kernel_id: id }) => {
    // Where the kernel has just died the server has no such session any more, and Lab learns
    // it in ten seconds: to change its kernel would fail (Lab 4.6).
    await sessions.refreshRunning();
    if (context.isDisposed || !wanted()) {
      throw new Error('Nobody wants it any more.');
    }
    await context.changeKernel({ id, name: start.name });
  });
}

/** Make a notebook with a new kernel in a folder; its path. */
export async function startNew(
  services: ServiceManager.IManager,
  folder: string,
  start: Start,
  /** What its metadata has to say. */
  chosen: { language: string; display_name: string; metadata: object },
  wanted: () => boolean
): Promise<string> {
  const { contents, sessions, serverSettings } = services;
  return started(serverSettings, { ...start, path: folder }, async ({ kernel_id: id }) => {
    const { name } = start;
    const { language, display_name, metadata } = chosen;
    if (!wanted()) {
      throw new Error('Nobody wants it any more.');
    }
    const { path } = await contents.newUntitled({ path: folder, type: 'notebook' });
    try {
      const content = {
        cells: [],
        metadata: { kernelspec: { name, language, display_name }, [METADATA]: metadata },
        nbformat: 4,
        nbformat_minor: 5
      };
      await contents.save(path, { type: 'notebook', format: 'json', content });
      const title = PathExt.basename(path);
      const kernel = { id, name };
      (await sessions.startNew({ path, type: 'notebook', name: title, kernel })).dispose();
    } catch (error) {
      await contents.delete(path).catch(() => undefined);
      throw error;
    }
    return path;
  });
}
