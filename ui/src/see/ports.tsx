/**
 * Servers that listen in a kernel's job, such as dashboards, and how to get to them.
 */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import React, { useEffect, useState } from 'react';

import { listListeners, openPort } from '../server/rest.js';
import type { Kernel, Listener, Port } from '../server/types.js';
import { called } from './brief.js';
import { brief, isLoopback, likelyFirst } from './listening.js';
import type { Compute } from './compute.js';

const words = (reason: unknown): string =>
  reason instanceof Error ? reason.message : String(reason);

function Ports({ compute, kernel }: { compute: Compute; kernel: Kernel }): React.JSX.Element {
  const { trans, settings } = compute;
  const [listeners, setListeners] = useState<Listener[] | null>(null);
  const [opened, setOpened] = useState<Port | null>(null);
  const [error, setError] = useState('');
  const [number, setNumber] = useState(NaN);

  const look = (): void => {
    setError('');
    listListeners(settings, kernel.kernel_id).then(found => setListeners(likelyFirst(found)), (reason: unknown) => {
      setListeners([]);
      setError(words(reason));
    });
  };
  useEffect(look, [kernel.kernel_id]);

  /** The tab is opened by the click itself: a later one would be a pop-up, and blocked. */
  const open = async (port: number, host?: string): Promise<void> => {
    const tab = window.open('', '_blank');
    setError('');
    setOpened(null);
    try {
      const where = host === undefined ? { port } : { port, host };
      const made = await openPort(settings, kernel.kernel_id, where);
      if (made.url !== null && !made.trouble && tab) {
        tab.opener = null;
        tab.location.href = new URL(made.url, settings.baseUrl).href;
      } else {
        tab?.close();
      }
      setOpened(made);
    } catch (reason) {
      tab?.close();
      setError(words(reason));
    }
  };

  return (
    <div className="rk-Ports">
      <div role="status">
        {listeners === null && trans.__('Looking for servers in the job…')}
        {listeners?.length === 0 && trans.__('No server of yours listens in the job now.')}
      </div>
      <ul>
        {listeners?.map(({ port, host, command, is_kernel }) => (
          <li key={`${host} ${port}`}>
            <b>{port}</b>
            <span className="rk-Ports-command" title={command}>
              {is_kernel ? trans.__('the kernel: %1', brief(command)) : brief(command)}
            </span>
            <button
              type="button"
              className="jp-mod-styled jp-mod-accept"
              aria-label={trans.__('Open port %1 (%2)', port, command)}
              onClick={() => void open(port, isLoopback(host) ? undefined : host)}
            >
              {trans.__('Open')}
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={event => {
          event.preventDefault();
          if (number >= 1 && number <= 65535) {
            void open(number);
          }
        }}
      >
        <label>
          {trans.__('Another port:')}
          <input
            type="number"
            className="jp-mod-styled"
            min={1}
            max={65535}
            value={Number.isNaN(number) ? '' : number}
            onChange={event => setNumber(event.currentTarget.valueAsNumber)}
          />
        </label>
        <button type="submit" className="jp-mod-styled">
          {trans.__('Open')}
        </button>
        <button type="button" className="jp-mod-styled jp-mod-minimal" onClick={look}>
          {trans.__('Look again')}
        </button>
      </form>
      {opened && <Opened compute={compute} port={opened} />}
      {error && (
        <div role="alert" className="rk-Error">
          {error}
        </div>
      )}
    </div>
  );
}

/** Where a port is now: behind the server's address, or only at its socket. */
function Opened({ compute, port }: { compute: Compute; port: Port }): React.JSX.Element {
  const { trans, settings } = compute;
  const local = port.local_port ?? port.port ?? 8000;
  return (
    <div role="status" className="rk-Ports-opened">
      {port.trouble && <p className="rk-Error">{port.trouble}</p>}
      {port.url !== null ? (
        <p>
          {trans.__('Port %1 of %2 is at', port.port ?? '', port.node)}{' '}
          <a href={new URL(port.url, settings.baseUrl).href} target="_blank" rel="noreferrer">
            {port.url}
          </a>
        </p>
      ) : (
        <>
          <p>
            {trans.__(
              'Port %1 of %2 is forwarded, but this server cannot show it in the browser: jupyter-server-proxy is not installed beside it. It is at this socket, for you alone:',
              port.port ?? '',
              port.node
            )}
          </p>
          <pre className="rk-Text">{port.local_socket}</pre>
          <p>{trans.__('From your own machine:')}</p>
          <pre className="rk-Text">
            {`ssh -L ${local}:${port.local_socket} ${location.hostname}\nhttp://localhost:${local}/`}
          </pre>
        </>
      )}
    </div>
  );
}

/** Enter is for the form in it, not for the dialog's own button. */
class PortsDialog extends Dialog<unknown> {
  override handleEvent(event: Event): void {
    const isInForm = event.target instanceof Element && event.target.closest('.rk-Ports');
    if (!(isInForm && event instanceof KeyboardEvent && event.key === 'Enter')) {
      super.handleEvent(event);
    }
  }
}

export async function showPorts(compute: Compute, kernel: Kernel): Promise<void> {
  const { trans } = compute;
  await new PortsDialog({
    title: trans.__('Servers in the job of %1', called(kernel)),
    body: ReactWidget.create(<Ports compute={compute} kernel={kernel} />),
    buttons: [Dialog.okButton({ label: trans.__('Close') })],
    hasClose: true
  }).launch();
}
