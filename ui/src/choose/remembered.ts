/**
 * What was chosen before: for a notebook, in its metadata; by this user, in Lab's state.
 *
 * A notebook may come from others: what decides what runs on the node is neither written
 * there nor taken from there (`accept` of `fields.ts`).
 */

import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IStateDB } from '@jupyterlab/statedb';

import type { Options } from '../server/types.js';
import type { Earlier } from './choice.js';
import { forNotebook, type Schema } from './fields.js';

/** The key of a notebook's metadata. */
export const METADATA = 'remote_kernels';

const key = (kernelspec: string): string => `@remote-kernels/ui:chosen:${kernelspec}`;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a notebook's metadata says of the kernel that was chosen for it. */
export function ofNotebook(panel: NotebookPanel | null): { name: string; options: Options } | null {
  const found: unknown = panel?.context.model?.getMetadata(METADATA);
  if (!isObject(found) || typeof found.name !== 'string' || !isObject(found.options)) {
    return null;
  }
  return { name: found.name, options: found.options as Options };
}

/** The last choice for this notebook with this kernelspec, or else of this user. */
export async function earlier(
  kernelspec: string,
  panel: NotebookPanel | null,
  state: IStateDB | null
): Promise<Earlier | null> {
  const here = ofNotebook(panel);
  if (here?.name === kernelspec) {
    return { source: 'notebook', options: here.options };
  }
  const options: unknown = await state?.fetch(key(kernelspec)).catch(() => undefined);
  return isObject(options) ? { source: 'user', options: options as Options } : null;
}

/** Remember what was chosen; who has never chosen anything leaves no trace of that. */
export async function remember(
  chosen: { name: string; options: Options; schema: Schema | null },
  panel: NotebookPanel | null,
  state: IStateDB | null
): Promise<void> {
  const { name, options, schema } = chosen;
  const plain = schema ? forNotebook(schema, options) : {};
  const isChosen = Object.keys(options).length > 0;
  const before = await earlier(name, panel, state);
  if (isChosen || before) {
    if (panel && !panel.isDisposed) {
      panel.context.model.setMetadata(METADATA, { name, options: plain });
    }
    await (isChosen ? state?.save(key(name), options) : state?.remove(key(name)));
  }
}
