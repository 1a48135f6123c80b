import { fail } from '../base/errors.ts';
import { hash32 } from '../base/random.ts';
import { answerText } from './answer-text.ts';

type Schema = Readonly<Record<string, unknown>>;

/** What a sample cannot promise to satisfy. */
const UNSUPPORTED = ['pattern', 'not', 'if', 'patternProperties', 'dependentSchemas', 'contains'];
const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2026-01-31T12:00:00Z',
  date: '2026-01-31',
  time: '12:00:00Z',
  duration: 'PT1H',
  email: 'reader@example.org',
  hostname: 'example.org',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.org/',
  uuid: '00000000-0000-4000-8000-000000000000',
};
/** Below this, only what is required. */
const FULL_DEPTH = 5;
const MAX_DEPTH = 40;
const MAX_VALUES = 2000;
const TEXT_CHARS = 24;

/** A value that satisfies a JSON schema, decided by `key`. Throws `KV_REQUEST_INVALID` for schemas it cannot follow. */
export function sampleOf(schema: unknown, key: number): unknown {
  return new Sampler(schema, key).value(schema, 0);
}

class Sampler {
  readonly #root: unknown;
  readonly #key: number;
  #values = 0;

  constructor(root: unknown, key: number) {
    this.#root = root;
    this.#key = key;
  }

  value(given: unknown, depth: number): unknown {
    if (++this.#values > MAX_VALUES || depth > MAX_DEPTH) throw refused('it is too deep or too large');
    const schema = this.#resolve(given);
    if ('const' in schema) return schema.const;
    if (Array.isArray(schema.enum)) return schema.enum[this.#draw() % schema.enum.length];
    const branches = (schema.anyOf ?? schema.oneOf) as unknown[] | undefined;
    if (Array.isArray(branches))
      return this.value({ ...schema, ...this.#branch(branches, depth), ...NO_BRANCHES }, depth);
    switch (typeOf(schema, depth)) {
      case 'object':
        return this.#object(schema, depth);
      case 'array':
        return this.#array(schema, depth);
      case 'integer':
        return this.#number(schema, schema.multipleOf ?? 1);
      case 'number':
        return this.#number(schema, schema.multipleOf ?? 0.5);
      case 'boolean':
        return this.#draw() % 2 === 0;
      case 'null':
        return null;
      default:
        return this.#text(schema);
    }
  }

  #object({ properties, required, additionalProperties, minProperties }: Schema, depth: number): object {
    const known = Object.entries((properties as Schema | undefined) ?? {});
    const needed = new Set(Array.isArray(required) ? required : []);
    const made = known
      .filter(([name]) => needed.has(name) || depth < FULL_DEPTH)
      .map(([name, schema]) => [name, this.value(schema, depth + 1)] as const);
    const names = new Set(made.map(([name]) => name));
    const free = [...needed].filter((name) => !names.has(name as string)) as string[];
    for (let i = 1; made.length + free.length < number(minProperties, 0); i++) free.push(`key${i}`);
    const rest = typeof additionalProperties === 'object' ? additionalProperties : { type: 'string' };
    return Object.fromEntries([...made, ...free.map((name) => [name, this.value(rest, depth + 1)])]);
  }

  #array({ items, prefixItems, minItems, maxItems }: Schema, depth: number): unknown[] {
    const first = Array.isArray(prefixItems) ? prefixItems : [];
    const usual = depth < FULL_DEPTH ? Math.max(1, first.length) : 0;
    const length = Math.max(number(minItems, 0), Math.min(usual, number(maxItems, usual)));
    const further = items === undefined || items === true ? { type: 'string' } : items;
    return Array.from({ length }, (_, i) => this.value(first[i] ?? further, depth + 1));
  }

  #number(schema: Schema, step: unknown): number {
    const unit = number(step, 1);
    const least = number(schema.minimum, number(schema.exclusiveMinimum, Number.NEGATIVE_INFINITY));
    const most = number(schema.maximum, number(schema.exclusiveMaximum, Number.POSITIVE_INFINITY));
    const inside = (value: number): boolean =>
      value >= least &&
      value <= most &&
      value !== schema.exclusiveMinimum &&
      value !== schema.exclusiveMaximum;
    const wish = (1 + (this.#draw() % 99)) * unit;
    const lowest = Math.ceil(least / unit) * unit;
    const highest = Math.floor(most / unit) * unit;
    const found = [wish, lowest, lowest + unit, highest, highest - unit, (least + most) / 2].find(inside);
    if (found === undefined) throw refused(`no number lies between ${least} and ${most}`);
    return found;
  }

  #text({ format, minLength, maxLength }: Schema): string {
    const fixed = FORMATS[String(format)];
    if (fixed !== undefined) return fixed;
    const length = Math.max(number(minLength, 1), Math.min(TEXT_CHARS, number(maxLength, TEXT_CHARS)));
    if (length > MAX_VALUES) throw refused(`a text of ${length} characters is too long`);
    const text = answerText(this.#draw(), length).trimEnd();
    return text.padEnd(number(minLength, 0), '.');
  }

  /** Of several schemas the first that is not `null`; deep inside, the one that ends soonest. */
  #branch(branches: readonly unknown[], depth: number): Schema {
    const resolved = branches.map((branch) => this.#resolve(branch));
    const isNull = ({ type }: Schema): boolean => type === 'null';
    const isPlain = ({ type }: Schema): boolean => type !== 'object' && type !== 'array';
    const preferred =
      depth < FULL_DEPTH
        ? resolved.find((branch) => !isNull(branch))
        : (resolved.find(isNull) ?? resolved.find(isPlain));
    return preferred ?? resolved[0] ?? {};
  }

  /** Follows references, and takes together what must all hold. */
  #resolve(given: unknown, hops = 0): Schema {
    if (typeof given !== 'object' || given === null) {
      if (given === false) throw refused('`false` allows nothing');
      return { type: 'string' };
    }
    let schema = given as Schema;
    for (const word of UNSUPPORTED)
      if (word in schema) throw refused(`a simulated engine cannot follow ${JSON.stringify(word)}`);
    if (typeof schema.$ref === 'string') {
      if (hops > MAX_DEPTH) throw refused(`${schema.$ref} refers to itself`);
      const { $ref, ...rest } = schema;
      schema = { ...this.#resolve(this.#at($ref as string), hops + 1), ...rest };
    }
    if (!Array.isArray(schema.allOf)) return schema;
    const { allOf, ...rest } = schema;
    return [...(allOf as unknown[]).map((part) => this.#resolve(part, hops + 1)), rest].reduce<Schema>(
      merged,
      {},
    );
  }

  #at(reference: string): unknown {
    if (!reference.startsWith('#')) throw refused(`${reference} is not in the schema itself`);
    let at: unknown = this.#root;
    for (const step of reference.slice(1).split('/').filter(Boolean)) {
      const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
      at = (at as Schema | undefined)?.[name];
    }
    if (at === undefined) throw refused(`${reference} is not there`);
    return at;
  }

  #draw(): number {
    return hash32(this.#key, this.#values, 3);
  }
}

const NO_BRANCHES = { anyOf: undefined, oneOf: undefined };

function typeOf({ type, properties, items, prefixItems }: Schema, depth: number): unknown {
  if (Array.isArray(type)) {
    const isNull = (each: unknown): boolean => each === 'null';
    return depth < FULL_DEPTH ? type.find((each) => !isNull(each)) : (type.find(isNull) ?? type[0]);
  }
  if (type !== undefined) return type;
  if (properties !== undefined) return 'object';
  return items !== undefined || prefixItems !== undefined ? 'array' : 'string';
}

function merged(a: Schema, b: Schema): Schema {
  const both: Record<string, unknown> = { ...a, ...b };
  if (a.properties !== undefined && b.properties !== undefined)
    both.properties = { ...(a.properties as Schema), ...(b.properties as Schema) };
  if (Array.isArray(a.required) && Array.isArray(b.required)) both.required = [...a.required, ...b.required];
  return both;
}

function number(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function refused(reason: string): Error {
  return fail('KV_REQUEST_INVALID', {
    param: 'schema',
    reason: `schema: ${reason}`,
    mend: 'Use a simpler schema, or a real engine.',
  });
}
