/**
 * Choose what a kernel gets: the dialog with its form, the launcher, links.
 *
 * Lab's plugin of these dialogs is disabled by our package.json, so ours always takes its
 * place; where no kernelspec is ours, or the setting says so, the dialog is Lab's own.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  ICommandPalette,
  type ISessionContext,
  ISessionContextDialogs,
  SessionContextDialogs
} from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addCommands } from './commands.js';
import type { Kit } from './flows.js';
import { follow } from './follow.js';
import { ours } from './ours.js';

const LABS = '@jupyterlab/apputils-extension:sessionDialogs';
const DOMAIN = 'remote_kernels';

/** Lab's dialogs, the first of which has our form where there is a kernelspec of ours. */
class Dialogs extends SessionContextDialogs {
  constructor(
    readonly kit: Kit,
    private readonly _registry: ISettingRegistry | null
  ) {
    super({ translator: kit.translator, settingRegistry: _registry });
  }

  override async selectKernel(context: ISessionContext): Promise<void> {
    const isOurTask = ours(context.specsManager.specs).length > 0 && (await this._wantsForm());
    if (context.isDisposed || !isOurTask) {
      return super.selectKernel(context);
    }
    const { selectKernel } = await import('./flows.js');
    return selectKernel(this.kit, context);
  }

  private async _wantsForm(): Promise<boolean> {
    try {
      const found = await this._registry?.get(choose.id, 'form');
      return found?.composite !== false;
    } catch (reason) {
      console.error(`Settings of ${choose.id}:`, reason);
      return true;
    }
  }
}

/**
 * What is given to the dialogs later: they are there before any notebook, as notebooks need
 * them.
 */
function kitOf(app: JupyterFrontEnd, translator: ITranslator): Kit {
  return {
    services: app.serviceManager,
    translator,
    trans: translator.load(DOMAIN),
    state: null,
    panel: () => null
  };
}

const dialogs: JupyterFrontEndPlugin<ISessionContextDialogs> = {
  id: '@remote-kernels/ui:dialogs',
  description: "Provides Lab's dialogs of kernels, with a form for kernels in batch jobs.",
  autoStart: true,
  provides: ISessionContextDialogs,
  optional: [ITranslator, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    registry: ISettingRegistry | null
  ): ISessionContextDialogs => {
    // The editor of settings lists what has been loaded, which Lab's plugin no more does.
    void app.restored.then(() => registry?.load(LABS)).catch(() => undefined);
    return new Dialogs(kitOf(app, translator ?? nullTranslator), registry);
  }
};

const choose: JupyterFrontEndPlugin<void> = {
  id: '@remote-kernels/ui:choose',
  description: 'Restarts notebooks on a cluster, and starts new ones there.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [
    ISessionContextDialogs,
    ITranslator,
    IStateDB,
    ICommandPalette,
    ILauncher,
    IDefaultFileBrowser
  ],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    given: ISessionContextDialogs | null,
    translator: ITranslator | null,
    state: IStateDB | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    browser: IDefaultFileBrowser | null
  ): void => {
    const kit = given instanceof Dialogs ? given.kit : kitOf(app, translator ?? nullTranslator);
    kit.state = state;
    kit.panel = context => tracker.find(panel => panel.sessionContext === context) ?? null;
    const { open } = addCommands(app, kit, { tracker, dialogs: given, palette, launcher, browser });
    follow(app, kit, tracker, open);
  }
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each provides its own
export const plugins: JupyterFrontEndPlugin<any>[] = [dialogs, choose];
