/**
 * The form below the selector of kernels: what most choose, when it would start, and a
 * disclosure with all options. It shows one `Choice`, and says what the server says.
 *
 * Everything of others (names, texts, values) is a text node or an input's value.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import React, { useEffect, useId, useReducer, useRef, useState } from 'react';

import type { OptionValue } from '../server/types.js';
import type { Translator } from '../words.js';
import { anyGpus, card, wish } from './cards.js';
import type { Choice } from './choice.js';
import { differing, type Field, kinds, read, type Role, same, shown } from './fields.js';
import { outlook } from './outlook.js';
import { QueueCards } from './queues.js';

/** All options: loaded when they are first looked at. */
const AllOptions = React.lazy(() => import('./all.js'));

interface Props {
  choice: Choice;
  trans: Translator;
}

/** Shows a choice in a dialog. */
export class ChoiceForm extends ReactWidget {
  constructor(
    private readonly _choice: Choice,
    private readonly _trans: Translator
  ) {
    super();
    this.addClass('rk-Choose');
  }

  protected override render(): React.ReactElement {
    return <Form choice={this._choice} trans={this._trans} />;
  }
}

/** Render again, at once, when the choice changes: a text field keeps its caret so. */
function useChoice(choice: Choice): void {
  const [, again] = useReducer((times: number) => times + 1, 0);
  useEffect(() => {
    const changed = (): void => again();
    choice.changed.connect(changed);
    again(); // it may have changed meanwhile
    return () => void choice.changed.disconnect(changed);
  }, [choice]);
}

function Form({ choice, trans }: Props): React.ReactElement {
  useChoice(choice);
  const { schema, errors, roles } = choice;
  const [isOpen, open] = useState(false);
  return (
    <>
      <Origin choice={choice} trans={trans} />
      {!schema && !errors.schema && <p className="rk-Choose-quiet">{trans.__('Options…')}</p>}
      {errors.schema && <Problem>{errors.schema}</Problem>}
      {schema && (
        <>
          <div className="rk-Choose-fields">
            {[...roles].map(([role, field]) => (
              <Simple key={role} role={role} field={field} choice={choice} trans={trans} />
            ))}
          </div>
          <Queues choice={choice} trans={trans} />
          <div className="rk-Choose-row">
            <Told choice={choice} trans={trans} />
            {differs(choice) && (
              <button
                type="button"
                className="jp-mod-styled"
                onClick={({ currentTarget }) => {
                  // The button goes, and the dialog must keep the focus.
                  currentTarget.closest('.rk-Choose')?.querySelector('input')?.focus();
                  choice.reset();
                }}
              >
                {trans.__('Back to defaults')}
              </button>
            )}
          </div>
        </>
      )}
      <Start choice={choice} trans={trans} />
      {schema && (
          <details onToggle={event => open(event.currentTarget.open)}>
            <summary>{trans.__('All options')}</summary>
            {isOpen && (
              <React.Suspense fallback={<p>{trans.__('Options…')}</p>}>
                <AllOptions choice={choice} schema={schema} trans={trans} />
              </React.Suspense>
            )}
          </details>
      )}
    </>
  );
}

/** How a start goes; why it was refused comes into sight. */
function Start({ choice, trans }: Props): React.ReactElement {
  const refused = choice.errors.start;
  const alert = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (refused) {
      alert.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [refused]);
  return (
    <>
      <div role="status" className="rk-Choose-quiet">
        {choice.busy ? trans.__('Asking for the job…') : ''}
      </div>
      <div role="alert" ref={alert}>
        {refused && <Problem>{refused}</Problem>}
      </div>
    </>
  );
}

function Problem({ children }: { children: string }): React.ReactElement {
  return <p className="rk-Choose-problem">{children}</p>;
}

/** Where the values are from, and what of them was left out. */
function Origin({ choice, trans }: Props): React.ReactElement | null {
  const { leftOut, earlier } = choice;
  const from = {
    notebook: trans.__('As chosen last for this notebook.'),
    user: trans.__('As you chose last.'),
    link: trans.__('Filled in by a link; nothing has been asked for yet.'),
    wishes: trans.__('With more of what there was too little of.')
  };
  const isFromElsewhere = earlier && choice.isEarlier && differs(choice);
  const refused = trans.__(
    'Left out, because it decides what runs on the node, which only you may: %1',
    leftOut.refused.join(', ')
  );
  return (
    <>
      {isFromElsewhere && <p className="rk-Choose-quiet">{from[earlier.source]}</p>}
      {leftOut.unknown.length > 0 && (
        <Problem>{trans.__('Not known here, and left out: %1', leftOut.unknown.join(', '))}</Problem>
      )}
      {leftOut.refused.length > 0 && <Problem>{refused}</Problem>}
    </>
  );
}

const differs = ({ values, base }: Choice): boolean =>
  Object.keys(differing(values, base)).length > 0;

/** What is commonly typed there. */
export const COMMON: Partial<Record<Role, OptionValue[]>> = {
  time: ['30m', '1h', '2h', '4h', '8h', '24h'],
  memory: ['2G', '4G', '8G', '16G', '32G', '64G'],
  cores: [1, 2, 4, 8, 16],
  gpus: [1, 2, 4]
};

function Simple(props: Props & { role: Role; field: Field }): React.ReactElement | null {
  const { choice, role, field, trans } = props;
  const id = useId();
  const value = choice.values[field.name];
  const known = choice.queues;
  if (role === 'queue' && (known === null ? !choice.errors.queues : known.length > 0)) {
    return null; // cards, or they are on their way
  }
  if (role === 'gpus' && !shown(value) && !anyGpus(known)) {
    return null;
  }
  const whole = kinds(field).every(kind => kind === 'integer');
  return (
    <label title={field.description}>
      <span>{field.title}</span>
      <Typed
        field={field}
        value={value}
        take={taken => choice.set(field.name, taken)}
        inputMode={whole ? 'numeric' : 'text'}
        placeholder={trans.__('such as %1', shown(field.examples?.[0]))}
        list={COMMON[role] && id}
      />
      {COMMON[role] && (
        <datalist id={id}>
          {COMMON[role]?.map(each => <option key={String(each)} value={String(each)} />)}
        </datalist>
      )}
    </label>
  );
}

interface TypedProps extends Omit<React.InputHTMLAttributes<HTMLInputElement>, 'value'> {
  field: Field;
  value: OptionValue | undefined;
  take: (value: OptionValue) => void;
}

/** A text field; what is typed stays as it is while it means the value. */
function Typed({ field, value, take, ...rest }: TypedProps): React.ReactElement {
  const [text, type] = useState(shown(value));
  const meant = same(read(field, text), value) ? text : shown(value);
  return (
    <input
      {...rest}
      type="text"
      className="jp-mod-styled"
      spellCheck={false}
      autoComplete="off"
      value={meant}
      onChange={({ target }) => {
        type(target.value);
        take(read(field, target.value));
      }}
    />
  );
}

function Queues({ choice, trans }: Props): React.ReactElement | null {
  const field = choice.roles.get('queue');
  const { queues, errors } = choice;
  if (!field) {
    // No queue can be chosen, and yet something may be free.
    const lines = (queues ?? []).flatMap(queue => card(queue, wish(choice.roles, {}), trans).free);
    return lines.length ? <p className="rk-Choose-quiet">{lines.join(', ')}</p> : null;
  }
  if (queues === null || queues.length === 0) {
    const text = errors.queues ?? (queues ? '' : trans.__('Looking what is free…'));
    return <p className="rk-Choose-quiet">{text}</p>;
  }
  const wished = wish(choice.roles, choice.values);
  return (
    <QueueCards
      title={field.title}
      cards={queues.map(queue => card(queue, wished, trans))}
      chosen={shown(choice.values[field.name])}
      choose={name => choice.set(field.name, name || null)}
      trans={trans}
    />
  );
}

/** When it would start, and what is not allowed: read out when it changes. */
function Told({ choice, trans }: Props): React.ReactElement {
  const { estimate, estimating, errors } = choice;
  const said = estimate && outlook(estimate, Date.now() / 1000, trans);
  return (
    <div className="rk-Choose-told" role="status" aria-live="polite" aria-busy={estimating}>
      {estimating && <p className="rk-Choose-quiet">{trans.__('When would it start?')}</p>}
      {!estimating && errors.estimate && <Problem>{errors.estimate}</Problem>}
      {!estimating && said && <p>{said}</p>}
      {!estimating &&
        estimate?.problems.map(problem => <Problem key={problem}>{problem}</Problem>)}
    </div>
  );
}
