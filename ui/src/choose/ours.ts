/**
 * Which kernelspecs are ours, by what Lab knows of them already. Pure.
 */

const PROVISIONER = 'remote-kernels';

/** What of Lab's model of a kernelspec is used here. */
export interface Spec {
  name: string;
  display_name: string;
  metadata?: Record<string, unknown>;
}

type Specs = { kernelspecs: { readonly [name: string]: Spec | undefined } } | null | undefined;

/** A kernelspec's `config`, where it is ours, or null. */
function config(spec: Spec): { scheduler?: unknown } | null {
  const found = spec.metadata?.kernel_provisioner as
    | { provisioner_name?: unknown; config?: { scheduler?: unknown } }
    | undefined;
  return found?.provisioner_name === PROVISIONER ? (found.config ?? {}) : null;
}

/** The kernelspecs that are ours, in order of their names for people. */
export function ours(specs: Specs): Spec[] {
  return Object.values(specs?.kernelspecs ?? {})
    .flatMap(spec => (spec && config(spec) ? [spec] : []))
    .sort((one, other) => one.display_name.localeCompare(other.display_name));
}

export const isOurs = (specs: Specs, name: string | undefined): boolean =>
  ours(specs).some(spec => spec.name === name);

/** Whether a kernelspec of ours runs its kernels elsewhere, and not on this machine. */
export const isAway = (specs: Specs, name: string | undefined): boolean =>
  ours(specs).some(spec => spec.name === name && config(spec)?.scheduler !== 'local');

/** Which of ours to propose: the first of `wanted` that is there, or one on a node. */
export function proposed(specs: Specs, ...wanted: (string | undefined)[]): string | null {
  const found = ours(specs);
  const names = found.map(({ name }) => name);
  const away = found.find(spec => config(spec)?.scheduler !== 'local');
  return wanted.find(name => name !== undefined && names.includes(name)) ?? away?.name ?? names[0] ?? null;
}
