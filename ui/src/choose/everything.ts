/**
 * All options as forms of Lab's: groups of them, each an object's JSON Schema of the plain
 * kind that forms understand, and values there and back. Pure.
 */

import type { Options, OptionValue } from '../server/types.js';
import { english, type Translator } from '../words.js';
import { type Field, fields, kinds, read, same, type Schema, shown, simple } from './fields.js';

/** A group of options: `schema` and `ui` are what FormComponent takes. */
export interface Group {
  title: string;
  help: string;
  fields: Field[];
  schema: Record<string, unknown>;
  ui: Record<string, unknown>;
}

/** The options in groups, those alone that `wanted` is found in. */
export function groups(schema: Schema, wanted = '', trans: Translator = english): Group[] {
  const first = new Set([...simple(schema).values()].map(({ name }) => name));
  const known = fields(schema).filter(field => matches(field, wanted));
  const more = (field: Field): boolean => !first.has(field.name) && !field['x-portable'];
  const rest = known.filter(field => more(field) && !field['x-execute']);
  const executing = known.filter(field => more(field) && field['x-execute']);
  return [
    group(
      trans.__('Resources'),
      '',
      known.filter(field => !more(field)),
      trans
    ),
    group(trans.__('More about the job and the connection'), '', rest, trans),
    group(
      trans.__('What runs on the node'),
      trans.__('These are never taken from a link or a notebook.'),
      executing,
      trans
    )
  ].filter(({ fields }) => fields.length > 0);
}

function matches(field: Field, wanted: string): boolean {
  const text = `${field.name} ${field['x-portable'] ?? ''} ${field.title} ${field.description ?? ''}`;
  const words = wanted.toLowerCase().split(/\s+/);
  return words.every(word => text.toLowerCase().includes(word));
}

function group(title: string, help: string, fields: Field[], trans: Translator): Group {
  const properties = fields.map(field => [field.name, property(field)]);
  const example = (field: Field): string => shown(field.examples?.[0]);
  const ui = fields.map(field => [
    field.name,
    { 'ui:placeholder': example(field) && trans.__('such as %1', example(field)) }
  ]);
  return {
    title,
    help,
    fields,
    schema: { type: 'object', properties: Object.fromEntries(properties) as object },
    ui: Object.fromEntries(ui) as Record<string, unknown>
  };
}

/** The one kind that a form has for an option. */
function kind(field: Field): string {
  const may = kinds(field);
  return may.includes('array') ? 'array' : may.length === 1 ? may[0] : 'string';
}

function property(field: Field): Record<string, unknown> {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field;
  const bounds = { minimum, maximum, exclusiveMinimum, exclusiveMaximum };
  const type = kind(field);
  const found: Record<string, unknown> = {
    type,
    title: field.title,
    description: field.description
  };
  if (type === 'array') {
    found.items = { type: kinds(field.items ?? {})[0] };
  } else if (field.enum) {
    found.enum = field.enum.filter(value => value !== null);
  } else if (type === 'integer' || type === 'number') {
    Object.assign(found, bounds);
  }
  return JSON.parse(JSON.stringify(found)) as Record<string, unknown>; // without undefined
}

function there(field: Field, value: OptionValue | undefined): OptionValue | undefined {
  if (value == null) {
    return undefined;
  }
  switch (kind(field)) {
    case 'array':
      return Array.isArray(value) ? value : [value];
    case 'string':
      return shown(value);
    default:
      return value;
  }
}

/** The values of a group, as its form has them. */
export function toForm(group: Group, values: Options): Options {
  const data: Options = {};
  for (const field of group.fields) {
    const value = there(field, values[field.name]);
    if (value !== undefined) {
      data[field.name] = value;
    }
  }
  return data;
}

/** The values after a form has changed; null where none has. */
export function fromForm(group: Group, values: Options, data: Options): Options | null {
  const changed: Options = {};
  for (const field of group.fields) {
    const value = data[field.name];
    if (!same(there(field, values[field.name]), value)) {
      changed[field.name] = typeof value === 'string' ? read(field, value) : (value ?? null);
    }
  }
  return Object.keys(changed).length ? { ...values, ...changed } : null;
}
