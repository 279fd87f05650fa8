/**
 * The options of a kernelspec, as the server's JSON Schema has them: their names, values
 * as people type them, and what of them is sent. Pure.
 *
 * An option may have two names: its own, and one that all batch systems share. Here it
 * goes by its own alone; `ownName` takes either. In a notebook it has the shared one.
 */

import type { Options, OptionValue } from '../server/types.js';

/** A property of the schema. */
export interface Property {
  title?: string;
  description?: string;
  type?: string | string[];
  enum?: OptionValue[];
  items?: Property;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  pattern?: string;
  default?: OptionValue;
  examples?: OptionValue[];
  /** The own name of the option, where this property is its shared one. */
  'x-option'?: string;
  /** The shared name, where this property is the own one. */
  'x-portable'?: string;
  /** It decides what runs on the node. */
  'x-execute'?: boolean;
}

export interface Schema {
  title?: string;
  properties: Record<string, Property>;
  'x-simple'?: string[];
}

/** An option under its own name. */
export interface Field extends Property {
  name: string;
  title: string;
}

/** The shared names of what most people choose. */
export type Role = 'time' | 'memory' | 'cores' | 'gpus' | 'queue' | 'account';

const has = (values: object, name: string): boolean => Object.hasOwn(values, name);

/** The own name of an option, which either "-" or "_" may be written in; null: no such. */
export function ownName(schema: Schema, name: string): string | null {
  const { properties } = schema;
  const plain = name.replaceAll('_', '-');
  const found = has(properties, name)
    ? name
    : Object.keys(properties).find(each => each.replaceAll('_', '-') === plain);
  return found === undefined ? null : (properties[found]['x-option'] ?? found);
}

/** The option of this name, or null. */
export function field(schema: Schema, name: string): Field | null {
  const own = ownName(schema, name);
  const property = own === null ? undefined : schema.properties[own];
  return own === null || !property ? null : { title: own, ...property, name: own };
}

/** All options, in the schema's order, each once. */
export function fields(schema: Schema): Field[] {
  const names = Object.keys(schema.properties).map(name => ownName(schema, name) ?? name);
  return [...new Set(names)].flatMap(name => field(schema, name) ?? []);
}

/** Those of the first page, by their role. */
export function simple(schema: Schema): Map<Role, Field> {
  const found = new Map<Role, Field>();
  for (const role of schema['x-simple'] ?? []) {
    const option = field(schema, role);
    if (option) {
      found.set(role as Role, option);
    }
  }
  return found;
}

/** What counts where nothing is chosen, by own names. */
export function defaults(schema: Schema): Options {
  const known = fields(schema).filter(option => option.default !== undefined);
  return Object.fromEntries(known.map(option => [option.name, option.default ?? null]));
}

/** What the values of an option may be, without null. */
export function kinds(property: Property): string[] {
  const { type = 'string' } = property;
  return (Array.isArray(type) ? type : [type]).filter(kind => kind !== 'null');
}

/** The value that a person's text means; null where it is empty. */
export function read(property: Property, text: string): OptionValue {
  const said = text.trim();
  const may = kinds(property);
  if (!said) {
    return null;
  }
  const number = /^-?\d{1,15}$/.test(said) || (may.includes('number') && /^\d+\.\d+$/.test(said));
  if (number && (may.includes('integer') || may.includes('number'))) {
    return Number(said);
  }
  if (may.includes('boolean') && /^(true|false)$/.test(said)) {
    return said === 'true';
  }
  if (may.includes('array') && !may.includes('string')) {
    const items = said.split(',').map(item => read(property.items ?? {}, item));
    return items.filter(item => item !== null);
  }
  return said;
}

/** A value as text in one line. */
export function shown(value: OptionValue | undefined): string {
  if (value == null) {
    return '';
  }
  return Array.isArray(value) ? value.map(shown).join(', ') : String(value);
}

const empty = (value: OptionValue | undefined): boolean =>
  value == null || value === '' || (Array.isArray(value) && value.length === 0);

/** Whether two values mean the same: 4 and "4" do, and nothing in any form. */
export function same(one: OptionValue | undefined, other: OptionValue | undefined): boolean {
  if (empty(one) || empty(other)) {
    return empty(one) && empty(other);
  }
  return JSON.stringify(texts(one)) === JSON.stringify(texts(other));
}

const texts = (value: OptionValue | undefined): unknown =>
  Array.isArray(value) ? value.map(texts) : String(value);

/** What of `values` differs from the kernelspec's; null takes an option of it out. */
export function differing(values: Options, base: Options): Options {
  const names = new Set([...Object.keys(base), ...Object.keys(values)]);
  const found: Options = {};
  for (const name of names) {
    const value = has(values, name) ? values[name] : null;
    if (!same(value, base[name])) {
      found[name] = empty(value) ? null : value;
    }
  }
  return found;
}

/** Options that came from elsewhere: what may be filled in, and what not, and why. */
export interface Accepted {
  options: Options;
  unknown: string[];
  /** They decide what runs on the node, which only who sits here may. */
  refused: string[];
}

/**
 * Sort options that others may have written (a link, a notebook) by what may be filled in.
 *
 * Texts become what the schema takes; whether a value is allowed is the server's to say.
 */
export function accept(schema: Schema, given: Options): Accepted {
  const result: Accepted = { options: {}, unknown: [], refused: [] };
  for (const [name, value] of Object.entries(given)) {
    const option = field(schema, name);
    if (!option) {
      result.unknown.push(name);
    } else if (option['x-execute']) {
      result.refused.push(name);
    } else {
      result.options[option.name] = typeof value === 'string' ? read(option, value) : value;
    }
  }
  return result;
}

/**
 * What of the options a notebook may carry along, by the names that all batch systems share,
 * so that the same is filled in at another site. `accept` reads it back.
 */
export function forNotebook(schema: Schema, options: Options): Options {
  const found: Options = {};
  for (const [name, value] of Object.entries(options)) {
    const option = field(schema, name);
    if (!option?.['x-execute']) {
      found[option?.['x-portable'] ?? name] = value;
    }
  }
  return found;
}
