/**
 * The server's REST API: a function for each route, and nothing else asks there.
 *
 * An answer that is an error is thrown as a `RestError` with the server's own `message`,
 * which is written for people and is to be shown to them.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  Cells,
  Estimate,
  Job,
  Jobs,
  Kernel,
  Kernelspec,
  Listener,
  Port,
  Queues,
  Start,
  Submission
} from './types.js';

/** What a function of this file sends: `ServerConnection.makeSettings()` in most cases. */
export type Settings = ServerConnection.ISettings;

/** The server's refusal; `status` 0 where there was no answer at all. */
export class RestError extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** The server's word for programs, where it has one. */
    readonly reason: string | null = null
  ) {
    super(message);
    this.name = 'RestError';
  }
}

type Query = Record<string, string | number | boolean | undefined>;

interface Request {
  method?: 'GET' | 'POST' | 'DELETE';
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
}

/** The address of `route`, a list of its parts, each of which may hold any character. */
function address(settings: Settings, route: string[], query: Query = {}): string {
  const parts = route.map(part => encodeURIComponent(part));
  const url = URLExt.join(settings.baseUrl, 'remote-kernels/api', ...parts);
  const asked = Object.entries(query).filter(([, value]) => value !== undefined);
  return url + URLExt.objectToQueryString(Object.fromEntries(asked));
}

async function ask(settings: Settings, route: string[], request: Request = {}): Promise<Response> {
  const { method = 'GET', query, body, signal } = request;
  const url = address(settings, route, query);
  const init: RequestInit = { method, signal: signal ?? null };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new RestError(`${method} ${url}: no answer of the server (${why})`, 0);
  }
  if (!response.ok) {
    throw await refusal(`${method} ${url}`, response);
  }
  return response;
}

/** The error that an answer is; one that is not ours (a proxy's page) is only named. */
async function refusal(asked: string, response: Response): Promise<RestError> {
  const { status, statusText } = response;
  try {
    const said = (await response.json()) as { message?: unknown; reason?: unknown };
    if (typeof said.message === 'string' && said.message) {
      const reason = typeof said.reason === 'string' ? said.reason : null;
      return new RestError(said.message, status, reason);
    }
  } catch {
    // No JSON.
  }
  return new RestError(`${asked}: ${status} ${statusText}`, status);
}

async function json<T>(...args: Parameters<typeof ask>): Promise<T> {
  return (await (await ask(...args)).json()) as T;
}

// --- kernels ------------------------------------------------------------------------

export const listKernels = (settings: Settings, ended = false): Promise<Kernel[]> =>
  json(settings, ['kernels'], { query: { ended: ended || undefined } });

export const startKernel = (settings: Settings, start: Start): Promise<Kernel> =>
  json(settings, ['kernels'], { method: 'POST', body: start });

export const getKernel = (settings: Settings, id: string): Promise<Kernel> =>
  json(settings, ['kernels', id]);

/** End a kernel and its job. */
export async function stopKernel(settings: Settings, id: string): Promise<void> {
  await ask(settings, ['kernels', id], { method: 'DELETE' });
}

export const extendKernel = (settings: Settings, id: string, minutes: number): Promise<Kernel> =>
  json(settings, ['kernels', id, 'extend'], { method: 'POST', body: { minutes } });

/** The Python stack of the kernel's process, as text. */
export const kernelStack = async (settings: Settings, id: string): Promise<string> =>
  (await ask(settings, ['kernels', id, 'stack'])).text();

/** A terminal of the server, by its name, that runs a shell inside the kernel's job. */
export const kernelTerminal = (settings: Settings, id: string): Promise<{ name: string }> =>
  json(settings, ['kernels', id, 'terminal'], { method: 'POST' });

// --- logs ---------------------------------------------------------------------------

export type Log = 'job' | 'kernel';

/** The last lines of one of a kernel's logs. */
export const kernelLog = async (
  settings: Settings,
  id: string,
  name: Log,
  lines = 200
): Promise<string> =>
  (await ask(settings, ['kernels', id, 'log'], { query: { name, lines } })).text();

/** The same, and what is written from then on, until `signal` aborts. */
export async function* followKernelLog(
  settings: Settings,
  id: string,
  name: Log,
  signal: AbortSignal,
  lines = 200
): AsyncGenerator<string, void, void> {
  const query = { name, lines, follow: true };
  const response = await ask(settings, ['kernels', id, 'log'], { query, signal });
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    yield decoder.decode(value, { stream: true });
  }
}

// --- ports --------------------------------------------------------------------------

export const listPorts = (settings: Settings, id: string): Promise<Port[]> =>
  json(settings, ['kernels', id, 'ports']);

export const openPort = (
  settings: Settings,
  id: string,
  where: { port: number; host?: string } | { socket: string }
): Promise<Port> => json(settings, ['kernels', id, 'ports'], { method: 'POST', body: where });

export async function closePort(settings: Settings, id: string, port: string): Promise<void> {
  await ask(settings, ['kernels', id, 'ports', port], { method: 'DELETE' });
}

/** Servers that listen in the kernel's job now. */
export const listListeners = (settings: Settings, id: string): Promise<Listener[]> =>
  json(settings, ['kernels', id, 'listening']);

// --- output that was held -----------------------------------------------------------

export const heldCells = (settings: Settings, id: string): Promise<Cells> =>
  json(settings, ['kernels', id, 'cells']);

/** The page has shown and saved these: the server may forget them. */
export async function cellsShown(
  settings: Settings,
  id: string,
  requests: string[]
): Promise<void> {
  await ask(settings, ['kernels', id, 'cells', 'shown'], { method: 'POST', body: { requests } });
}

// --- to choose from -----------------------------------------------------------------

export const listKernelspecs = (settings: Settings): Promise<Kernelspec[]> =>
  json(settings, ['kernelspecs']);

/** The JSON Schema of the options of a kernelspec's batch system. */
export const optionsSchema = (
  settings: Settings,
  kernelspec: string
): Promise<Record<string, unknown>> =>
  json(settings, ['options'], { query: { name: kernelspec } });

export const listQueues = (settings: Settings, scheduler: string): Promise<Queues> =>
  json(settings, ['queues'], { query: { scheduler } });

export const estimate = (
  settings: Settings,
  start: Start,
  signal?: AbortSignal
): Promise<Estimate> => json(settings, ['estimate'], { method: 'POST', body: start, signal });

// --- jobs of one's own --------------------------------------------------------------

export const listJobs = (settings: Settings): Promise<Jobs> => json(settings, ['jobs']);

export const submitJob = (settings: Settings, submission: Submission): Promise<Job> =>
  json(settings, ['jobs'], { method: 'POST', body: submission });

export const getJob = (settings: Settings, id: string): Promise<Job> =>
  json(settings, ['jobs', id]);

export async function cancelJob(settings: Settings, id: string): Promise<void> {
  await ask(settings, ['jobs', id], { method: 'DELETE' });
}

export const jobLog = async (settings: Settings, id: string): Promise<string> =>
  (await ask(settings, ['jobs', id, 'log'])).text();
