import { isSafeNumber, parse, stringify } from 'lossless-json';

/** Sixteen digits may be beyond 2^53; shorter integers never are. */
const LONG_INTEGER = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** JSON whose integers beyond 2^53 arrive as bigints and leave as numbers. */
export const BIG_JSON = {
  parse(text: string): unknown {
    // Nearly all bodies hold none, and the engine's own parser is many times faster.
    if (!LONG_INTEGER.test(text)) return JSON.parse(text);
    return parse(text, undefined, { parseNumber });
  },
  stringify(value: unknown): string {
    return stringify(value) ?? 'null';
  },
};

/** Worker ids and hashes exceed what the parser of a server that is not a service's own keeps. */
export function wholeBody({ rawBody }: { readonly rawBody: Buffer | undefined }): unknown {
  return BIG_JSON.parse(rawBody?.toString('utf8') ?? 'null');
}

function parseNumber(text: string): number | bigint {
  return INTEGER.test(text) && !isSafeNumber(text) ? BigInt(text) : Number(text);
}
