/**
 * Starting a kernel again after its job ended, with what to change filled in.
 */

import type { Compute } from '../see/compute.js';
import { listKernelspecs } from '../server/rest.js';
import type { EndCause, Kernel, Options } from '../server/types.js';
import { suggestion } from './suggest.js';

/** Of the part that chooses: opens its dialog for a notebook. */
const CHOOSE = 'remote-kernels:restart-on-cluster';

/** What to change, as far as can be known. */
async function wishes(compute: Compute, kernel: Kernel, cause: EndCause): Promise<Options> {
  const config = await listKernelspecs(compute.settings).then(
    specs => specs.find(({ name }) => name === kernel.spec_name)?.config,
    () => undefined // then it is suggested without
  );
  return suggestion(kernel, cause, config);
}

/** Open the dialog for its notebook; without that, start the same kernel there. */
export async function startAgain(compute: Compute, kernel: Kernel, cause: EndCause): Promise<void> {
  const { commands } = compute.app;
  const path = kernel.notebooks[0] ?? '';
  const options = await wishes(compute, kernel, cause);
  await commands.execute('docmanager:open', { path });
  if (commands.hasCommand(CHOOSE)) {
    await commands.execute(CHOOSE, { path, options });
    return;
  }
  const notebook = compute.notebooks?.find(({ context }) => context.localPath === path);
  await notebook?.sessionContext.changeKernel({ name: kernel.spec_name });
}
