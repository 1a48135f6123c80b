import type { TraceRow } from './trace.ts';

/** Hash ids renumbered as the reference replay does. */
export interface CanonicalIds {
  /** Per row, its ids as u32 numbers in order of first appearance over the whole trace, from 0. */
  readonly rows: readonly Uint32Array[];
  readonly distinct: number;
}

/** Interns the ids of all rows, in the order given. Rows without ids get an empty list. */
export function canonicalIds(rows: readonly Pick<TraceRow, 'hashIds'>[]): CanonicalIds {
  const known = new Map<number, number>();
  const renamed = rows.map((row) => {
    const ids = new Uint32Array(row.hashIds?.length ?? 0);
    row.hashIds?.forEach((id, position) => {
      const canonical = known.get(id) ?? known.size;
      known.set(id, canonical);
      ids[position] = canonical;
    });
    return ids;
  });
  return { rows: renamed, distinct: known.size };
}

/** Tokens of a prompt that its ids can fill: the reference cuts the rest. */
function effectiveInput(inputLength: number, ids: number, blockSize: number): number {
  return Math.min(inputLength, ids * blockSize);
}

/** The reference's prompt: every block is its canonical id repeated, the last one cut to the input length. */
export function canonicalTokens(ids: Uint32Array, inputLength: number, blockSize: number): Uint32Array {
  const tokens = new Uint32Array(effectiveInput(inputLength, ids.length, blockSize));
  for (let block = 0; block * blockSize < tokens.length; block++) {
    tokens.fill(ids[block]!, block * blockSize, (block + 1) * blockSize);
  }
  return tokens;
}
