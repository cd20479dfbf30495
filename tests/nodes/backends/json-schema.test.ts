import { describe, expect, test } from 'vitest';
import { readSchema } from '../../../nodes/backends/json-schema.ts';

const accepted: [string, object][] = [
  ['an object', { type: 'object', properties: { a: { type: 'string', description: 'x' } }, required: ['a'], title: 't' }],
  ['nested lists', { type: 'array', items: { type: 'array', items: { type: 'integer' }, maxItems: 3 } }],
  ['alternatives', { oneOf: [{ const: 1 }, { enum: ['a', null] }, { type: ['string', 'null'] }] }],
  ['references', { $defs: { leaf: { type: 'number' } }, type: 'object', properties: { a: { $ref: '#/$defs/leaf' } } }],
  ['dates', { type: 'string', format: 'date-time' }],
];

const refused: [string, unknown, RegExp][] = [
  ['a pattern', { type: 'string', pattern: '^a' }, /pattern is not supported with string/],
  ['a bound on numbers', { type: 'integer', minimum: 3 }, /minimum is not supported with integer/],
  ['allOf', { type: 'object', allOf: [] }, /allOf is not supported/],
  ['a schema without a type', { description: 'anything' }, /must have a known type/],
  ['an unknown type', { type: 'toString' }, /must have a known type/],
  ['a list of compound types', { type: ['object', 'null'] }, /must have a known type/],
  ['a reference elsewhere', { $ref: 'https://example.com/x' }, /\$ref must point/],
  ['a reference to nothing', { $ref: '#/$defs/x' }, /\$ref must point/],
  ['a schema that is true', { type: 'array', items: true }, /true, false or no object/],
  ['a required stranger', { type: 'object', required: ['secret-name'] }, /may only name properties/],
  ['a huge length', { type: 'string', maxLength: 1e9 }, /maxLength must be an integer/],
  ['an unknown format', { type: 'string', format: 'email' }, /format must be one of/],
  ['definitions below the root', { type: 'array', items: { $defs: {}, type: 'null' } }, /root only/],
  ['a bad definition', { $defs: { x: { type: 'string', pattern: 'a' } }, type: 'null' }, /pattern/],
];

describe('JSON schemas', () => {
  test.each(accepted)('%s: taken', (_, schema) => {
    expect(readSchema(JSON.stringify(schema))).toEqual({ schema });
  });

  test.each(refused)('%s: refused', (_, schema, message) => {
    expect(readSchema(JSON.stringify(schema))).toMatchObject({ reason: 'UNSUPPORTED', message: expect.stringMatching(message) });
  });

  test.each(['', '{', '[]', '3', 'null'])('the text %j is no schema', (text) => {
    expect(readSchema(text)).toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  test('endless nesting is refused, not followed', () => {
    const text = `${'{"type":"array","items":'.repeat(2000)}{"type":"null"}${'}'.repeat(2000)}`;
    expect(readSchema(text)).toMatchObject({ reason: 'UNSUPPORTED', message: expect.stringMatching(/nested deeper/) });
  });

  test('a message never quotes what the caller wrote', () => {
    const canary = 'canary-7f3a';
    for (const schema of [
      { type: canary },
      { type: 'string', [canary]: 1 },
      { type: 'object', properties: { [canary]: { type: 'string', pattern: canary } } },
      { $ref: canary },
      { type: 'object', required: [canary] },
      { type: 'string', format: canary },
    ]) {
      expect(JSON.stringify(readSchema(JSON.stringify(schema)))).not.toContain(canary);
    }
  });
});
