/** All options of a kernelspec's batch system, in Lab's own forms; loaded when looked at. */

import { FormComponent, type IFormComponentProps } from '@jupyterlab/ui-components';
import validator from '@rjsf/validator-ajv8';
import React, { useMemo, useState } from 'react';

import type { Options } from '../server/types.js';
import type { Translator } from '../words.js';
import type { Choice } from './choice.js';
import { fromForm, groups, toForm } from './everything.js';
import type { Schema } from './fields.js';

interface Props {
  choice: Choice;
  schema: Schema;
  trans: Translator;
}

export default function AllOptions({ choice, schema, trans }: Props): React.ReactElement {
  const [wanted, want] = useState('');
  const found = useMemo(() => groups(schema, wanted, trans), [schema, wanted, trans]);
  return (
    <div className="rk-Choose-all">
      <input
        type="search"
        className="jp-mod-styled"
        placeholder={trans.__('Find an option')}
        aria-label={trans.__('Find an option')}
        value={wanted}
        onChange={({ target }) => want(target.value)}
      />
      {found.map(group => (
        <fieldset key={group.title}>
          <legend>{group.title}</legend>
          {group.help && <p className="rk-Choose-quiet">{group.help}</p>}
          <FormComponent
            schema={group.schema}
            uiSchema={group.ui}
            // Its types and those of FormComponent differ in depth, and not in fact.
            validator={validator as unknown as IFormComponentProps['validator']}
            formData={toForm(group, choice.values)}
            onChange={({ formData }) => {
              const values = fromForm(group, choice.values, formData as Options);
              if (values) {
                choice.replace(values);
              }
            }}
            liveValidate={true}
            noHtml5Validate={true}
            showErrorList={false}
            showModifiedFromDefault={false}
            compact={true}
            idPrefix="rk-option"
          />
        </fieldset>
      ))}
      {found.length === 0 && <p role="status">{trans.__('There is no such option.')}</p>}
    </div>
  );
}
