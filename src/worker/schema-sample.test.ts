import { describe, expect, test } from 'vitest';
import { sampleOf } from './schema-sample.ts';

describe('a sample of a schema', () => {
  test('has what is required and what is described, of the right types', () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', minLength: 3, maxLength: 8 },
        age: { type: 'integer', minimum: 18, exclusiveMaximum: 20 },
        share: { type: 'number', minimum: 0, maximum: 1 },
        kind: { enum: ['a', 'b'] },
        fixed: { const: 7 },
        tags: { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 3 },
        born: { type: 'string', format: 'date' },
        note: { anyOf: [{ type: 'null' }, { type: 'boolean' }] },
        pair: { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'null' }] },
      },
      required: ['name', 'age', 'extra'],
    };
    for (let key = 0; key < 50; key++) {
      const made = sampleOf(schema, key) as Record<string, unknown>;
      expect(Object.keys(made)).toEqual([...Object.keys(schema.properties), 'extra']);
      expect(made.name).toMatch(/^.{3,8}$/);
      expect([18, 19]).toContain(made.age);
      expect(made.share).toBeGreaterThanOrEqual(0);
      expect(made.share).toBeLessThanOrEqual(1);
      expect(['a', 'b']).toContain(made.kind);
      expect(made).toMatchObject({
        fixed: 7,
        born: '2026-01-31',
        note: expect.any(Boolean),
        extra: expect.any(String),
      });
      expect(made.tags).toHaveLength(2);
      expect(made.pair).toEqual([expect.any(Number), null]);
      expect(sampleOf(schema, key)).toEqual(made);
    }
    expect(sampleOf(schema, 1)).not.toEqual(sampleOf(schema, 2));
  });

  test('follows references and joins what must all hold; a type within itself ends', () => {
    const schema = {
      $ref: '#/$defs/node',
      $defs: {
        named: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
        node: {
          allOf: [{ $ref: '#/$defs/named' }],
          properties: { next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['next'],
        },
      },
    };
    let depth = 0;
    for (let at = sampleOf(schema, 1) as { name: string; next: unknown } | null; at !== null; depth++) {
      expect(at.name).toEqual(expect.any(String));
      at = at.next as typeof at;
    }
    expect(depth).toBeGreaterThan(1);
  });

  test.each([
    [{ type: 'string', pattern: '^a$' }, /cannot follow "pattern"/],
    [{ $ref: '#/$defs/none' }, /is not there/],
    [{ $ref: 'https://example.org/schema' }, /not in the schema itself/],
    [{ $ref: '#' }, /refers to itself/],
    [{ type: 'integer', minimum: 2, maximum: 1 }, /no number lies between/],
    [false, /allows nothing/],
    [{ type: 'object', properties: { self: { $ref: '#' } }, required: ['self'] }, /too deep or too large/],
    [{ type: 'array', items: { type: 'string' }, minItems: 1e9 }, /too deep or too large/],
  ])('of %j is refused', (schema, reason) => {
    expect(() => sampleOf(schema, 1)).toThrow(reason);
  });
});
