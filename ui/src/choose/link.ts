/**
 * A link that fills in the form: `…/lab/tree/x.ipynb?kernel=python-compute&time=2h`. Pure.
 *
 * Its values are somebody else's words: text, of which `accept` of `fields.ts` takes what a
 * link may say; nothing of it is submitted without a person's doing.
 */

/** What a link asks for. */
export interface Link {
  kernel: string;
  /** The notebook; "" where the link names none. */
  path: string;
  values: Record<string, string>;
}

/** What Lab, Notebook and the server have in a query themselves. */
const THEIRS = new Set([
  'token',
  'reset',
  'clone',
  'file-browser-path',
  'factory',
  'workspace',
  'mode',
  'path'
]);
const MOST = 50; // options of a link
const LONGEST = 200; // characters of a value

/** Return what `address` asks for; null where it has no `kernel`. */
export function parse(address: string): Link | null {
  const { pathname, searchParams } = new URL(address);
  const kernel = searchParams.get('kernel');
  if (!kernel) {
    return null;
  }
  const values: [string, string][] = [];
  for (const [name, value] of searchParams) {
    if (name !== 'kernel' && !THEIRS.has(name) && values.length < MOST) {
      values.push([name, value.slice(0, LONGEST)]);
    }
  }
  return { kernel, path: notebook(pathname), values: Object.fromEntries(values) };
}

function notebook(pathname: string): string {
  const found = /\/(?:lab(?:\/workspaces\/[^/]+)?\/tree|doc\/tree|notebooks)\/(.+\.ipynb)$/.exec(pathname);
  try {
    return decodeURIComponent(found?.[1] ?? '');
  } catch {
    return '';
  }
}

/** The address without what was asked for there. */
export function without(address: string, link: Link): string {
  const url = new URL(address);
  for (const name of ['kernel', ...Object.keys(link.values)]) {
    url.searchParams.delete(name);
  }
  return url.href;
}
