/**
 * The token by which every part gets the `KernelStore`, and the plugin that keeps it.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Token } from '@lumino/coreutils';

import { listKernels } from './rest.js';
import { KernelStore } from './store.js';
import { type Socket, whenOpen } from './stream.js';

/** All kernels of mine. It is read by everybody, and written by its plugin alone. */
export type IKernelStore = Omit<KernelStore, 'take' | 'cut'>;

export const IKernelStore = new Token<IKernelStore>(
  '@remote-kernels/ui:IKernelStore',
  'All kernels of this user that run in batch jobs.'
);

export const kernelStore: JupyterFrontEndPlugin<IKernelStore> = {
  id: '@remote-kernels/ui:kernels',
  description: 'Keeps the list of all remote kernels, by events of the server.',
  autoStart: true,
  optional: [ISettingRegistry],
  provides: IKernelStore,
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null): IKernelStore => {
    const { events, serverSettings } = app.serviceManager;
    let ended = false;
    const store = new KernelStore(() => listKernels(serverSettings, ended));
    events.stream.connect((_, event) => store.take(event));
    const start = (): void => {
      const manager = events as unknown as { _socket?: Socket | null };
      whenOpen(
        () => manager._socket,
        () => void store.refresh(),
        () => store.cut()
      );
    };
    const load = async (settings: ISettingRegistry): Promise<void> => {
      const loaded = await settings.load(kernelStore.id);
      const read = (): boolean => loaded.get('ended').composite === true;
      ended = read();
      loaded.changed.connect(() => {
        if (ended !== read()) {
          ended = read();
          void store.refresh();
        }
      });
    };
    void (registry ? load(registry) : Promise.resolve())
      .catch((reason: unknown) => console.error('Settings of remote kernels:', reason))
      .then(start);
    return store;
  }
};
