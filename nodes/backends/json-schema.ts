/**
 * Which JSON Schemas a grammar of the engine can hold an answer to. Pure. A keyword that the grammar would pass over
 * must be refused: the answer would look checked and not be.
 */
import type { Failure } from './job-run.ts';
import { failure } from './job-run.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = { readonly [key: string]: Json };

/** Say nothing about which answers are valid. */
const ANNOTATIONS = ['title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$schema', '$id'];
const COMMON = [...ANNOTATIONS, '$comment', '$defs'];

/** Keywords that the grammar honours, by what the schema is about. */
const HONOURED: Readonly<Record<string, readonly string[]>> = {
  const: ['const', 'type'],
  enum: ['enum', 'type'],
  oneOf: ['oneOf'],
  $ref: ['$ref'],
  object: ['type', 'properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['type', 'items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['type', 'minLength', 'maxLength', 'format'],
  number: ['type'],
  integer: ['type'],
  boolean: ['type'],
  null: ['type'],
  types: ['type'],
};

/** The rest of JSON Schema, which may be named in a message: a keyword of the standard is not the user's text. */
const REFUSED = new Set(
  (
    'allOf anyOf not if then else dependentSchemas dependentRequired patternProperties propertyNames contains minContains ' +
    'maxContains uniqueItems unevaluatedItems unevaluatedProperties multipleOf minimum maximum exclusiveMinimum ' +
    'exclusiveMaximum pattern contentEncoding contentMediaType $anchor $dynamicRef $dynamicAnchor definitions'
  ).split(' '),
);

const FORMATS = ['date', 'time', 'date-time'];
const BASIC_TYPES = ['string', 'number', 'integer', 'boolean', 'null'];
/** Beyond it the engine's grammar parser refuses repetitions. */
const MAX_REPETITION = 1000;
const MAX_DEPTH = 32;

/** @returns the schema, or why no grammar can be made of it. `text` is at most 64 KiB and its author is not trusted. */
export function readSchema(text: string): { readonly schema: Schema } | Failure {
  let schema: Json;
  try {
    schema = JSON.parse(text) as Json;
  } catch {
    return failure('INVALID_REQUEST', 'json_schema is not JSON');
  }
  if (!isObject(schema)) return failure('INVALID_REQUEST', 'json_schema must be an object');
  const defs = isObject(schema.$defs) ? schema.$defs : {};
  const problem =
    problemOf(schema, defs, 0) ??
    Object.values(defs).reduce<string | undefined>((found, def) => found ?? problemOf(def, defs, 1), undefined);
  return problem === undefined ? { schema } : failure('UNSUPPORTED', `json_schema: ${problem}`);
}

function problemOf(schema: Json | undefined, defs: Schema, depth: number): string | undefined {
  if (!isObject(schema)) return 'schemas that are true, false or no object are not supported';
  if (depth > MAX_DEPTH) return `schemas nested deeper than ${MAX_DEPTH} are not supported`;
  if (depth > 0 && schema.$defs !== undefined) return '$defs is supported at the root only';
  const kind = kindOf(schema);
  if (kind === undefined) return 'each schema must have a known type, const, enum, oneOf or $ref';
  const known = [...COMMON, ...HONOURED[kind]!];
  const stray = Object.keys(schema).find((key) => !known.includes(key));
  if (stray !== undefined) return `${isKeyword(stray) ? stray : 'an unknown keyword'} is not supported with ${kind}`;
  return problemOfValues(schema, kind, defs) ?? problemOfParts(schema, defs, depth + 1);
}

function kindOf(schema: Schema): string | undefined {
  for (const key of ['const', 'enum', 'oneOf', '$ref']) if (schema[key] !== undefined) return key;
  const type = schema.type;
  if (Array.isArray(type))
    return type.length > 0 && type.every((each) => BASIC_TYPES.includes(String(each))) ? 'types' : undefined;
  return typeof type === 'string' && Object.hasOwn(HONOURED, type) && type in TYPES ? type : undefined;
}
const TYPES = { object: 1, array: 1, string: 1, number: 1, integer: 1, boolean: 1, null: 1 };

function problemOfValues(schema: Schema, kind: string, defs: Schema): string | undefined {
  for (const key of ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties']) {
    const value = schema[key];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_REPETITION) {
      return `${key} must be an integer from 0 to ${MAX_REPETITION}`;
    }
  }
  if (kind === 'enum' && !(Array.isArray(schema.enum) && schema.enum.length > 0)) return 'enum must be a list that is not empty';
  if (kind === 'string' && schema.format !== undefined) {
    if (!FORMATS.includes(String(schema.format))) return `format must be one of ${FORMATS.join(', ')}`;
    if (schema.minLength !== undefined || schema.maxLength !== undefined) return 'format and length together are not supported';
  }
  if (kind === '$ref' && !pointsTo(schema.$ref, defs)) return '$ref must point to an entry of #/$defs/';
  return kind === 'object' ? problemOfRequired(schema) : undefined;
}

function problemOfRequired({ required = [], properties = {} }: Schema): string | undefined {
  if (!isObject(properties)) return 'properties must be an object';
  if (!Array.isArray(required)) return 'required must be a list';
  return required.every((name) => Object.hasOwn(properties, String(name))) ? undefined : 'required may only name properties';
}

function problemOfParts(schema: Schema, defs: Schema, depth: number): string | undefined {
  const { oneOf = [], prefixItems = [], properties = {}, items, additionalProperties } = schema;
  if (!Array.isArray(oneOf) || !Array.isArray(prefixItems)) return 'oneOf and prefixItems must be lists';
  const parts: Json[] = [...oneOf, ...prefixItems, ...Object.values(properties as Schema)];
  if (items !== undefined) parts.push(items);
  if (additionalProperties !== undefined && typeof additionalProperties !== 'boolean') parts.push(additionalProperties);
  for (const part of parts) {
    const problem = problemOf(part, defs, depth);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function pointsTo(ref: Json | undefined, defs: Schema): boolean {
  const prefix = '#/$defs/';
  return typeof ref === 'string' && ref.startsWith(prefix) && Object.hasOwn(defs, ref.slice(prefix.length));
}

const isKeyword = (key: string) => REFUSED.has(key) || Object.values(HONOURED).some((keys) => keys.includes(key));

function isObject(value: Json | undefined): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
