/**
 * The form of a job of one's own: which file, what it gets, and about what mail is sent.
 *
 * It shows one `Order`. Everything of others (names, texts) is a text node or a value.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import React, { useEffect, useId, useReducer, useRef, useState } from 'react';

import { anyGpus } from '../choose/cards.js';
import type { Role } from '../choose/fields.js';
import { COMMON } from '../choose/form.js';
import type { Queue } from '../server/types.js';
import type { Translator } from '../words.js';
import { beside, isNotebook, type Moment, type Order, ROLES } from './order.js';

/** What the form is told besides; nothing waits for it. */
export interface Around {
  /** The lines of a script that speak to the batch system. */
  directives: (path: string) => Promise<string[]>;
  /** Whether it is open here, and has changes that are not saved. */
  isDirty: (path: string) => boolean;
  queues: Promise<Queue[]>;
  /** The kernelspecs by their names for people: those in jobs, or all. */
  kernelspecs: (all: boolean) => { name: string; display_name: string }[];
}

interface Props {
  order: Order;
  around: Around;
  trans: Translator;
}

const PAUSE = 300; // milliseconds after a path was typed

/** Shows an order in a dialog. */
export class OrderForm extends ReactWidget {
  constructor(private readonly _props: Props) {
    super();
    this.addClass('rk-Choose');
    this.addClass('rk-Submit');
  }

  protected override render(): React.ReactElement {
    return <Form {...this._props} />;
  }
}

/** Render again, at once, when the order changes: a text field keeps its caret so. */
function useOrder(order: Order): void {
  const [, again] = useReducer((times: number) => times + 1, 0);
  useEffect(() => {
    const changed = (): void => again();
    order.changed.connect(changed);
    return () => void order.changed.disconnect(changed);
  }, [order]);
}

function Form(props: Props): React.ReactElement {
  const { order, around, trans } = props;
  useOrder(order);
  const path = order.meant;
  return (
    <>
      <File {...props} />
      {isNotebook(path) ? <Beside path={path} trans={trans} /> : <Says {...props} path={path} />}
      {around.isDirty(path) && <Quiet>{trans.__('Unsaved changes are saved first.')}</Quiet>}
      <Fields {...props} />
      <Kernelspec {...props} />
      <Mail {...props} />
      <div role="status" className="rk-Choose-quiet">
        {order.busy ? trans.__('Submitting…') : ''}
      </div>
      <Refused error={order.error} />
    </>
  );
}

const Quiet = ({ children }: { children: string }): React.ReactElement => (
  <p className="rk-Choose-quiet">{children}</p>
);

function File({ order, trans }: Props): React.ReactElement {
  if (!order.isTyped) {
    return <p className="rk-Submit-path">{order.path}</p>;
  }
  return (
    <label className="rk-Submit-field">
      <span>{trans.__('Script or notebook')}</span>
      <Line
        value={order.path}
        placeholder={trans.__('such as %1', 'jobs/run.sh')}
        take={text => order.change(each => (each.path = text))}
      />
    </label>
  );
}

interface LineProps {
  value: string;
  take: (text: string) => void;
  placeholder: string;
  list?: string;
  disabled?: boolean;
}

const Line = ({ take, ...rest }: LineProps): React.ReactElement => (
  <input
    {...rest}
    type="text"
    className="jp-mod-styled"
    spellCheck={false}
    autoComplete="off"
    onChange={({ target }) => take(target.value)}
  />
);

function Beside({ path, trans }: { path: string; trans: Translator }): React.ReactElement {
  const { folder, result, report } = beside(path);
  const names = trans.__('its result as %1, a report as %2', result, report);
  return (
    <Quiet>
      {folder
        ? trans.__('It runs on a node as it is now, and is not changed. In %1 will be %2.', folder, names)
        : trans.__('It runs on a node as it is now, and is not changed. Beside it will be %1.', names)}
    </Quiet>
  );
}

/** What a script says itself: read when its path is known, and again when that changes. */
function Says({ around, trans, path }: Props & { path: string }): React.ReactElement {
  const [lines, read] = useState<string[]>([]);
  useEffect(() => {
    let isWanted = true;
    read([]);
    const look = (): void =>
      void around.directives(path).then(found => isWanted && read(found));
    const timer = path ? setTimeout(look, PAUSE) : undefined;
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [around, path]);
  return (
    <>
      <Quiet>
        {trans.__(
          "The script's own lines for the batch system, such as #SBATCH, count; only what is filled in here goes over them."
        )}
      </Quiet>
      {lines.length > 0 && (
        <pre className="rk-Submit-says" tabIndex={0} aria-label={trans.__('What the script says')}>
          {lines.join('\n')}
        </pre>
      )}
    </>
  );
}

function Fields({ order, around, trans }: Props): React.ReactElement {
  const id = useId();
  const [queues, know] = useState<Queue[]>([]);
  useEffect(() => void around.queues.then(know), [around]);
  const titles: Record<(typeof ROLES)[number], string> = {
    time: trans.__('Time'),
    memory: trans.__('Memory'),
    cores: trans.__('Cores'),
    gpus: trans.__('GPUs'),
    queue: trans.__('Queue')
  };
  const common = (role: Role): (string | number)[] =>
    role === 'queue' ? queues.map(({ name }) => name) : ((COMMON[role] ?? []) as string[]);
  const roles = ROLES.filter(role => role !== 'gpus' || order.texts.gpus || anyGpus(queues));
  return (
    <div className="rk-Choose-fields">
      {roles.map(role => (
        <label key={role}>
          <span>{titles[role]}</span>
          <Line
            value={order.texts[role] ?? ''}
            placeholder={example(common(role), trans)}
            list={`${id}${role}`}
            take={text => order.change(({ texts }) => (texts[role] = text))}
          />
          <datalist id={`${id}${role}`}>
            {common(role).map(value => (
              <option key={value} value={value} />
            ))}
          </datalist>
        </label>
      ))}
    </div>
  );
}

function example(common: (string | number)[], trans: Translator): string {
  const value = common[Math.min(1, common.length - 1)];
  return value === undefined ? '' : trans.__('such as %1', value);
}

/** A notebook's kernel; for a script, the kernel whose queue and account it uses. */
function Kernelspec({ order, around, trans }: Props): React.ReactElement | null {
  const runs = isNotebook(order.meant);
  const known = around.kernelspecs(runs);
  const isKnown = known.some(({ name }) => name === order.kernelspec);
  useEffect(() => {
    if (order.kernelspec && !isKnown) {
      order.change(each => (each.kernelspec = ''));
    }
  });
  if (!known.length) {
    return null;
  }
  return (
    <label className="rk-Submit-field">
      <span>{runs ? trans.__('Kernel') : trans.__('Queue and account')}</span>
      <div className="jp-select-wrapper">
        <select
          className="jp-mod-styled"
          value={order.kernelspec}
          onChange={({ target }) => order.change(each => (each.kernelspec = target.value))}
        >
          <option value="">
            {runs ? trans.__('as the notebook says') : trans.__('as the script says')}
          </option>
          {known.map(({ name, display_name: title }) => (
            <option key={name} value={name}>
              {runs ? title : trans.__('those of %1', title)}
            </option>
          ))}
        </select>
      </div>
    </label>
  );
}

function Mail({ order, trans }: Props): React.ReactElement {
  const moments: [Moment, string][] = [
    ['begin', trans.__('when it begins')],
    ['end', trans.__('when it ends')],
    ['fail', trans.__('when it fails')]
  ];
  const turn = (moment: Moment, isOn: boolean): void =>
    order.change(({ mail }) => void (isOn ? mail.add(moment) : mail.delete(moment)));
  return (
    <fieldset>
      <legend>{trans.__('E-mail by the batch system')}</legend>
      <div className="rk-Submit-mail">
        {moments.map(([moment, title]) => (
          <label key={moment}>
            <input
              type="checkbox"
              checked={order.mail.has(moment)}
              onChange={({ target }) => turn(moment, target.checked)}
            />
            {title}
          </label>
        ))}
      </div>
      {order.mail.size > 0 && (
        <label className="rk-Submit-field">
          <span>{trans.__('Address')}</span>
          <Line
            value={order.to}
            placeholder={trans.__('the one that the batch system has for you')}
            take={text => order.change(each => (each.to = text))}
          />
        </label>
      )}
    </fieldset>
  );
}

/** Why it was refused, which comes into sight. */
function Refused({ error }: { error: string }): React.ReactElement {
  const alert = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (error) {
      alert.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [error]);
  return (
    <div role="alert" ref={alert}>
      {error && <p className="rk-Choose-problem">{error}</p>}
    </div>
  );
}
