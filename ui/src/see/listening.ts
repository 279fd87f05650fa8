/** Which of the servers in a job people look for, and how these are called. Pure. */

import type { Listener } from '../server/types.js';

/** Whether it is at an address by which the node's own programs reach it. */
export const isLoopback = (host: string): boolean =>
  ['', '*', '::', '0.0.0.0', '::1', 'localhost'].includes(host) || host.startsWith('127.');

/** Dashboards are at loopback; programs talk to each other elsewhere, ipykernel to itself. */
const rank = ({ host, is_kernel, is_ephemeral }: Listener): number =>
  is_kernel && is_ephemeral ? 2 : Number(!isLoopback(host));

/** Those first that may be pages; else by their ports, as they come. */
export const likelyFirst = (listeners: readonly Listener[]): Listener[] =>
  [...listeners].sort((one, other) => rank(one) - rank(other));

/** A command without its program's folder. */
export const brief = (command: string): string => command.replace(/^\/\S*\//, '');
