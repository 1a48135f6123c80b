import { type RowPlace, rowError, shown } from './row-error.ts';
import type { TraceRow } from './trace.ts';

type Fields = Readonly<Record<string, unknown>>;

// From here up, JSON numbers of u64 ids may have lost digits: they are interned by their text.
const WIDE_ID = 2 ** 52;

/** Gives ids of 2^52 and more a number by order of appearance, from 2^52 on: identity kept, value not. */
export class WideIds {
  readonly #known = new Map<string, number>();

  intern(digits: string): number {
    const value = Number(digits);
    if (value < WIDE_ID) return value;
    const known = this.#known.get(digits) ?? WIDE_ID + this.#known.size;
    this.#known.set(digits, known);
    return known;
  }
}

export function parseJsonObject(text: string, place: RowPlace): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw rowError(place, `is not JSON: ${shown(text)}`, 'Every line must hold one JSON object.', cause);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw rowError(place, `is not an object: ${shown(value)}`, 'Every line must hold one JSON object.');
}

/** A Mooncake row or its superset. `timeScale` turns its times into milliseconds. */
export function mooncakeRow(text: string, place: RowPlace, timeScale: number, wide: WideIds): TraceRow {
  const fields = parseJsonObject(text, place);
  const timestamp = optionalNumber(fields, ['timestamp', 'created_time'], place);
  const delay = optionalNumber(fields, ['delay', 'delay_ms'], place, 0);
  const sessionId = optionalText(fields, 'session_id', place);
  if (timestamp === undefined && sessionId === undefined) {
    throw rowError(place, 'has neither timestamp nor session_id', 'Give the arrival as "timestamp".');
  }
  const outputLength = count(fields, ['output_length', 'output_tokens'], place);
  const outputTokenIds = optionalIds(fields, 'output_token_ids', place);
  if (outputTokenIds !== undefined && outputTokenIds.length !== outputLength) {
    throw rowError(
      place,
      `has ${outputTokenIds.length} output_token_ids for an output_length of ${outputLength}`,
      'Both must agree.',
    );
  }
  return {
    line: place.line,
    timestampMs: timestamp === undefined ? undefined : timestamp * timeScale,
    inputLength: count(fields, ['input_length', 'input_tokens'], place),
    outputLength,
    hashIds: hashIds(fields, text, place, wide),
    ...given('requestId', optionalText(fields, 'request_id', place)),
    ...given('sessionId', sessionId),
    ...given('delayMs', delay === undefined ? undefined : delay * timeScale),
    ...given('outputTokenIds', outputTokenIds),
    ...given('priority', optionalNumber(fields, ['priority'], place)),
    ...given('strictPriority', optionalNumber(fields, ['strict_priority'], place, 0)),
    ...given('policyClass', optionalText(fields, 'policy_class', place)),
  };
}

/** A weka row: `t`, `in`, `out`, `hash_ids` of 64-token blocks. */
export function wekaRow(text: string, place: RowPlace, timeScale: number, wide: WideIds): TraceRow {
  const fields = parseJsonObject(text, place);
  const t = optionalNumber(fields, ['t'], place);
  if (t === undefined) throw rowError(place, 'has no "t"', 'Give the arrival as "t".');
  return {
    line: place.line,
    timestampMs: t * timeScale,
    inputLength: count(fields, ['in'], place),
    outputLength: count(fields, ['out'], place),
    hashIds: hashIds(fields, text, place, wide),
  };
}

/** A row of vLLM's custom data set: a literal prompt; 256 output tokens where none are given, as vLLM does. */
export function vllmCustomRow(text: string, place: RowPlace): TraceRow {
  const fields = parseJsonObject(text, place);
  const prompt = optionalText(fields, 'prompt', place);
  if (prompt === undefined) throw rowError(place, 'has no "prompt"', 'Give the text as "prompt".');
  const outputLength = fields.output_tokens === undefined ? 256 : count(fields, ['output_tokens'], place);
  return { line: place.line, timestampMs: 0, inputLength: 0, outputLength, prompt };
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

function count(fields: Fields, names: readonly string[], place: RowPlace): number {
  const value = optionalNumber(fields, names, place, 0);
  if (value === undefined)
    throw rowError(place, `has no "${names[0]}"`, `Give a token count as "${names[0]}".`);
  if (!Number.isSafeInteger(value)) {
    throw rowError(place, `${names[0]} ${value} is not a whole number`, 'Token counts are whole numbers.');
  }
  return value;
}

function optionalNumber(
  fields: Fields,
  names: readonly string[],
  place: RowPlace,
  min = Number.NEGATIVE_INFINITY,
): number | undefined {
  const name = names.find((candidate) => fields[candidate] !== undefined && fields[candidate] !== null);
  if (name === undefined) return undefined;
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw rowError(place, `${name} ${shown(value)} is not a number`, 'Write it as a JSON number.');
  }
  if (value < min) throw rowError(place, `${name} ${value} is below ${min}`, `Give ${min} or more.`);
  return value;
}

function optionalText(fields: Fields, name: string, place: RowPlace): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw rowError(place, `${name} ${shown(value)} is not a text`, 'Write it as a JSON string.');
}

function optionalIds(fields: Fields, name: string, place: RowPlace): readonly number[] | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) {
    throw rowError(place, `${name} ${shown(value)} is not a list`, 'Write it as a JSON array of numbers.');
  }
  const wrong = value.find((id) => typeof id !== 'number' || !Number.isInteger(id) || id < 0);
  if (wrong !== undefined) {
    throw rowError(place, `${name} holds ${shown(wrong)}`, 'Ids are whole numbers from 0 on.');
  }
  return value as number[];
}

function hashIds(fields: Fields, text: string, place: RowPlace, wide: WideIds): readonly number[] {
  const ids = optionalIds(fields, 'hash_ids', place);
  if (ids === undefined) {
    throw rowError(place, 'has no "hash_ids"', 'Give one id per block of the prompt as "hash_ids".');
  }
  if (ids.every((id) => id < WIDE_ID)) return ids;
  const digits = /"hash_ids"\s*:\s*\[([^\]]*)\]/.exec(text)?.[1]?.split(',') ?? [];
  return digits.map((id) => wide.intern(id.trim()));
}
