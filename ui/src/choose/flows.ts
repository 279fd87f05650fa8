/**
 * The three dialogs: select a kernel, restart on the cluster, a new notebook. Loaded when
 * the first of them is opened, so that Lab's start does not wait for any of it.
 */

import {
  Dialog,
  type ISessionContext,
  type ISessionContextDialogs,
  SessionContextDialogs
} from '@jupyterlab/apputils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { ServiceManager } from '@jupyterlab/services';
import type { IStateDB } from '@jupyterlab/statedb';
import type { ITranslator } from '@jupyterlab/translation';

import { estimate, listKernelspecs, listQueues, optionsSchema } from '../server/rest.js';
import type { Options } from '../server/types.js';
import type { Translator } from '../words.js';
import { type Asks, Choice, type Earlier } from './choice.js';
import { ChooseDialog, Chooser, type Groups, type Selected } from './dialog.js';
import { forNotebook, type Schema } from './fields.js';
import type { Link } from './link.js';
import { isAway, isOurs, ours, proposed } from './ours.js';
import { earlier, ofNotebook, remember } from './remembered.js';
import { startIn, startNew } from './start.js';

/** What the dialogs need of Lab. */
export interface Kit {
  services: ServiceManager.IManager;
  translator: ITranslator;
  trans: Translator;
  state: IStateDB | null;
  /** The notebook of a session, where it is one's. */
  panel: (context: ISessionContext) => NotebookPanel | null;
}

const none = (options: Options): boolean => Object.keys(options).length === 0;

function asks({ services }: Kit): Asks {
  const { serverSettings } = services;
  return {
    schema: async name => (await optionsSchema(serverSettings, name)) as unknown as Schema,
    queues: async name => {
      const known = await listKernelspecs(serverSettings);
      const spec = known.find(each => each.name === name);
      return spec ? (await listQueues(serverSettings, spec.scheduler)).queues : [];
    },
    estimate: (start, signal) => estimate(serverSettings, start, signal)
  };
}

/**
 * Return what makes the choice for a kernelspec of ours: with a link's values, or earlier
 * ones, and `wishes` above those.
 */
function maker(
  kit: Kit,
  path: string,
  panel: NotebookPanel | null,
  link: Link | null,
  wishes: Options = {}
): (selected: Selected) => Promise<Choice | null> {
  return async selected => {
    const name = selected?.name;
    if (name === undefined || !isOurs(kit.services.kernelspecs.specs, name)) {
      return null;
    }
    const before: Earlier | null =
      link?.kernel === name
        ? { source: 'link', options: link.values }
        : await earlier(name, panel, kit.state);
    const wished: Earlier | null = none(wishes)
      ? before
      : { source: 'wishes', options: { ...before?.options, ...wishes } };
    return new Choice(asks(kit), { name, path }, wished);
  };
}

/** The kernelspecs that are ours, for a selector. */
function ourGroups(kit: Kit, label: string, selected: string | null): Groups {
  const options = ours(kit.services.kernelspecs.specs).map(({ name, display_name: text }) => ({
    text,
    value: JSON.stringify({ name }),
    selected: name === selected
  }));
  return { disabled: false, groups: [{ label, options }] };
}

/** What becomes of the kernel that a notebook has; "" where it has none. */
function lost(kit: Kit, context: ISessionContext): string {
  if (context.hasNoKernel) {
    return ''; // nor is there one that starts
  }
  const id = context.session?.kernel?.id;
  const others = [...kit.services.sessions.running()]
    .filter(each => id !== undefined && each.kernel?.id === id && each.path !== context.path)
    .map(each => each.path);
  const said = kit.trans.__(
    'The kernel of now (%1) is shut down, and its variables are lost; outputs stay.',
    context.kernelDisplayName
  );
  const also = kit.trans.__('These use it, too: %1', others.join(', '));
  return others.length ? `${said} ${also}` : said;
}

/** What to say of a link's kernelspec that is not here. */
function notHere(kit: Kit, link: Link | null): string[] {
  const { specs } = kit.services.kernelspecs;
  return !link || isOurs(specs, link.kernel)
    ? []
    : [kit.trans.__('The link names the kernel “%1”, which is not here.', link.kernel)];
}

/** Select a kernel: Lab's own dialog, with our form below where it is one of ours. */
export async function selectKernel(
  kit: Kit,
  context: ISessionContext,
  link: Link | null = null
): Promise<void> {
  const labs = kit.translator.load('jupyterlab');
  const groups = SessionContextDialogs.kernelOptions(context, kit.translator);
  if (link && isOurs(kit.services.kernelspecs.specs, link.kernel)) {
    for (const option of groups.groups.flatMap(({ options }) => [...options])) {
      option.selected = option.value === JSON.stringify({ name: link.kernel });
    }
  }
  const panel = kit.panel(context);
  const body = new Chooser(
    `${labs.__('Select kernel for:')} "${context.name}"`,
    groups,
    maker(kit, context.path, panel, link),
    kit.trans,
    { above: notHere(kit, link), form: lost(kit, context) }
  );
  const label = context.hasNoKernel ? context.kernelDisplayName : labs.__('Cancel');
  const checked = context.kernelPreference.autoStartDefault;
  let isDone = false;
  let chosen: Choice | null = null;
  const dialog = new ChooseDialog(
    {
      title: labs.__('Select Kernel'),
      body,
      buttons: [
        Dialog.cancelButton({ label }),
        Dialog.okButton({ label: labs.__('Select'), ariaLabel: labs.__('Select Kernel') })
      ],
      checkbox:
        typeof checked === 'boolean'
          ? {
              label: labs.__('Always start the preferred kernel'),
              caption: labs.__('Remember my choice and always start the preferred kernel'),
              checked
            }
          : null
    },
    async wanted => {
      const choice = (chosen = await body.choice);
      const start = async (made: Choice): Promise<void> => {
        const options = await made.options();
        if (!none(options)) {
          await startIn(context, kit.services, { ...made.start, options }, wanted);
          isDone = true;
          await remember({ ...made.start, options, schema: made.schema }, panel, kit.state);
        }
      };
      return choice === null || choice.tryTo(() => start(choice));
    }
  );
  const result = await dialog.launch();
  if (context.isDisposed || !result.button.accept) {
    return;
  }
  if (typeof checked === 'boolean' && result.isChecked !== null) {
    const autoStartDefault = result.isChecked;
    context.kernelPreference = { ...context.kernelPreference, autoStartDefault };
  }
  const selected = result.value;
  if (isDone) {
    return;
  }
  if (selected === null) {
    await (context.hasNoKernel ? undefined : context.shutdown());
    return;
  }
  await context.changeKernel(selected);
  if (chosen !== null) {
    const { start, schema } = chosen as Choice;
    await remember({ ...start, options: {}, schema }, panel, kit.state);
  }
}

/** This notebook on other resources, or on a node at all; `wishes` are filled in. */
export async function restartOnCluster(
  kit: Kit,
  panel: NotebookPanel,
  dialogs: ISessionContextDialogs | null,
  wishes: Options
): Promise<void> {
  const { trans } = kit;
  const context = panel.sessionContext;
  const { specs } = kit.services.kernelspecs;
  const before = [context.session?.kernel?.name, ofNotebook(panel)?.name];
  const name = proposed(specs, ...before.filter(each => isAway(specs, each)));
  const body = new Chooser(
    trans.__('Kernel'),
    ourGroups(kit, trans.__('On the cluster'), name),
    maker(kit, context.path, panel, null, wishes),
    trans,
    { above: [lost(kit, context)].filter(Boolean) }
  );
  const dialog = new ChooseDialog(
    {
      title: trans.__('Restart on Cluster'),
      body,
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.warnButton({ label: trans.__('Restart') })
      ],
      checkbox: {
        label: trans.__('Run all cells above the selected one'),
        caption: trans.__('They run once the kernel is there.'),
        checked: false
      }
    },
    async wanted => {
      const choice = await body.choice;
      const start = async (made: Choice): Promise<void> => {
        const options = await made.options();
        await startIn(context, kit.services, { ...made.start, options }, wanted);
        await remember({ ...made.start, options, schema: made.schema }, panel, kit.state);
      };
      return choice !== null && choice.tryTo(() => start(choice));
    }
  );
  const result = await dialog.launch();
  if (result.button.accept && result.isChecked && !panel.isDisposed) {
    await NotebookActions.runAllAbove(
      panel.content,
      context,
      dialogs ?? undefined,
      kit.translator
    );
  }
}

/** A new notebook on the cluster: what opens it, or null. */
export async function newNotebook(
  kit: Kit,
  folder: string,
  link: Link | null = null
): Promise<{ path: string } | { name: string } | null> {
  const { trans, services } = kit;
  const { specs } = services.kernelspecs;
  const body = new Chooser(
    trans.__('Kernel'),
    ourGroups(kit, trans.__('On the cluster'), proposed(specs, link?.kernel)),
    maker(kit, folder, null, link),
    trans,
    { above: notHere(kit, link) }
  );
  let opened: { path: string } | { name: string } | null = null;
  const dialog = new ChooseDialog(
    {
      title: trans.__('New Notebook on the Cluster'),
      body,
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Start') })
      ]
    },
    async wanted => {
      const choice = await body.choice;
      const act = async (made: Choice): Promise<void> => {
        const options = await made.options();
        const { name } = made.start;
        if (none(options)) {
          opened = { name };
        } else {
          const { language = '', display_name = '' } = specs?.kernelspecs[name] ?? {};
          const kept = made.schema ? forNotebook(made.schema, options) : {};
          const metadata = { name, options: kept };
          const chosen = { language, display_name, metadata };
          const path = await startNew(services, folder, { name, options }, chosen, wanted);
          opened = { path };
        }
        await remember({ ...made.start, options, schema: made.schema }, null, kit.state);
      };
      return choice !== null && choice.tryTo(() => act(choice));
    }
  );
  const result = await dialog.launch();
  return result.button.accept ? opened : null;
}
