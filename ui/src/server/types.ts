/**
 * What the server sends, as JSON: a mirror of `remote_kernels/jupyter/api/openapi.yaml`
 * and of the schemas in `remote_kernels/jupyter/events/`.
 *
 * Times are in seconds since the epoch, sizes in bytes; null is what is not known.
 */

export type KernelState =
  | 'waiting'
  | 'starting'
  | 'running'
  | 'lost'
  | 'suspended'
  | 'ending'
  | 'ended'
  | 'unknown';

/** Why a job ended; a later server may know more of them. */
export type EndCause =
  | 'finished'
  | 'failed'
  | 'killed'
  | 'time'
  | 'memory'
  | 'limit'
  | 'cancelled'
  | 'preempted'
  | 'node'
  | 'start'
  | 'unknown';

/** How a job ended: `word` is the scheduler's own, `text` says what to change. */
export interface JobEnd {
  word: string;
  exit_code: number | null;
  signal: number | null;
  text: string;
  cause: EndCause;
}

export interface GpuUsage {
  index: number;
  name: string;
  utilization: number | null;
  memory: number | null;
  memory_total: number | null;
}

export interface Usage {
  time: number;
  cpu_percent: number | null;
  cpus: number | null;
  memory: number | null;
  memory_limit: number | null;
  gpus: GpuUsage[];
}

export interface Kernel {
  kernel_id: string;
  /** The kernelspec's name for people; `spec_name` is the one for programs. */
  name: string;
  spec_name: string;
  /** The paths of the notebooks that use it. */
  notebooks: string[];
  scheduler: string;
  cluster: string | null;
  job_id: string;
  state: KernelState;
  /** The state in plain words. */
  text: string;
  /** The scheduler's own words for the job's state, and why it is in it. */
  job_state: string;
  reason: string;
  /** The job's place in its queue, from 1. */
  place: number | null;
  node: string | null;
  carrier: string | null;
  /** The host and process of the server that has it, or had it. */
  host: string;
  pid: number;
  submitted: number | null;
  ready: number | null;
  expected_start: number | null;
  /** The end of the job's time limit. */
  ends: number | null;
  usage: Usage | null;
  end: JobEnd | null;
  /** Seconds until `ends`, when this was sent; what is shown counts from `ends`. */
  time_left: number | null;
}

export type OptionValue = string | number | boolean | null | OptionValue[];
export type Options = Record<string, OptionValue>;

/** A request to start a kernel; `options` go over the kernelspec's. */
export interface Start {
  name: string;
  /** The notebook, below the server's root directory. */
  path?: string;
  options?: Options;
}

export interface Port {
  id: string;
  port: number | null;
  host: string | null;
  socket: string | null;
  node: string;
  local_socket: string;
  local_port: number | null;
  connections: number;
  listening: boolean | null;
  trouble: string;
  /** Its path at this server; null without jupyter-server-proxy. */
  url: string | null;
}

/** A server that listens in a kernel's job. */
export interface Listener {
  port: number;
  host: string;
  command: string;
  /** Whether it is the kernel's own process. */
  is_kernel?: boolean;
  /** Whether Linux chose the port. */
  is_ephemeral?: boolean;
}

export interface Kernelspec {
  name: string;
  display_name: string;
  scheduler: string;
  /** The kernelspec's own options. */
  config: Options;
  is_here: boolean;
}

/** A free node has no job at all. */
export interface Amount {
  total: number | null;
  free: number | null;
}

export interface Queue {
  /** "" where the batch system has no option for it. */
  name: string;
  is_default: boolean;
  /** "up", or else the scheduler's word. */
  state: string;
  time_limit: number | null;
  nodes: Amount | null;
  cores: Amount | null;
  /** Of its largest node. */
  memory: number | null;
  cores_per_node: number | null;
  gpus: (Amount & { kind: string })[];
  note: string;
}

export interface Queues {
  scheduler: string;
  asked: number;
  queues: Queue[];
}

/** When it would start, and what is not allowed; nothing was submitted. */
export interface Estimate {
  start: number | null;
  text: string;
  problems: string[];
}

/** A job of this user that is no kernel. */
export interface Job {
  job_id: string;
  scheduler: string;
  name: string;
  state: string;
  text: string;
  /** The scheduler's own words for its state, and why it is in it. */
  job_state: string;
  reason: string;
  node: string | null;
  queue: string | null;
  submitted: number | null;
  started: number | null;
  ends: number | null;
  expected_start: number | null;
  /** Whether it was submitted here. */
  ours: boolean;
  log: boolean;
  /** What was submitted here, and what becomes of a notebook: paths below the root. */
  script: string | null;
  notebook: string | null;
  result: string | null;
  report: string | null;
  end: JobEnd | null;
}

export interface Jobs {
  asked: number | null;
  jobs: Job[];
  /** What was said where the batch system did not answer. */
  error?: string | null;
}

/** A job to submit: either a script or a notebook, below the server's root. */
export type Submission = ({ script: string } | { notebook: string }) & {
  name?: string;
  options?: Options;
  mail?: { on: ('begin' | 'end' | 'fail')[]; to?: string };
  kernelspec?: string;
};

/** A message of a kernel, as it was held. */
export interface HeldMessage {
  msg_type: string;
  msg_id: string;
  content: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

/** Output of one cell that no page has shown and saved. */
export interface Cell {
  request: string;
  cell_id: string | null;
  code: string | null;
  session: string;
  state: 'waiting' | 'running' | 'finished' | 'aborted';
  execution_count: number | null;
  /** The kernel's own times, in ISO 8601. */
  started: string | null;
  ended: string | null;
  /** The same of its newest message: older ones that a page still gets are not new. */
  until: string | null;
  /** The content of its `execute_reply`. */
  reply: Record<string, unknown> | null;
  messages: HeldMessage[];
  /** The IDs of messages that are no part of it any more, if a page still gets them. */
  gone: string[];
  /** How many messages were dropped, for want of room; the oldest. */
  dropped: number;
}

export interface Cells {
  cells: Cell[];
  dropped: number;
}

export const KERNEL_EVENT = 'https://events.remote-kernels.org/kernel/v1';
export const KERNELS_EVENT = 'https://events.remote-kernels.org/kernels/v1';
export const JOBS_EVENT = 'https://events.remote-kernels.org/jobs/v1';
export const QUEUES_EVENT = 'https://events.remote-kernels.org/queues/v1';

/** What happened to one kernel, to tell people. */
export interface KernelEvent {
  action:
    | 'submitted'
    | 'pending'
    | 'running'
    | 'attached'
    | 'lost'
    | 'resumed'
    | 'warning'
    | 'out-of-memory'
    | 'ended';
  kernel_id: string;
  job_id: string;
  node: string | null;
  scheduler: string;
  state: KernelState;
  reason: string;
  text: string;
  end: JobEnd | null;
}

/** The new models of kernels that changed, and the IDs of those that are gone. */
export interface KernelsEvent {
  kernels: Kernel[];
  gone: string[];
}
