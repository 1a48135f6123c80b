import type { TraceRow } from '../../formats/traces/trace.ts';

/** What one request of a trace could reuse, in blocks of the trace. */
export interface RowReuse {
  readonly inputLength: number;
  readonly outputLength: number;
  /** Tokens in blocks that occur more than once in the whole trace at this position. */
  readonly contextLength: number;
  readonly uniqueLength: number;
  /** Leading ids seen in earlier rows over all ids: the hit rate of an infinite cache. */
  readonly hitRate: number;
  /** The same in blocks. */
  readonly hitBlocks: number;
  readonly blocks: number;
}

/** Reuse of every row that has ids, in the order given. O(ids). */
export function rowReuse(rows: readonly TraceRow[], blockSize: number): readonly RowReuse[] {
  const counts = positionCounts(rows);
  const seen = new Set<number>();
  return rows.flatMap(({ hashIds, inputLength, outputLength }) => {
    if (hashIds === undefined || hashIds.length === 0) return [];
    const shared = hashIds.filter((id, at) => counts[at]!.get(id)! > 1).length;
    const fresh = hashIds.findIndex((id) => !seen.has(id));
    const hitBlocks = fresh < 0 ? hashIds.length : fresh;
    for (const id of hashIds) seen.add(id);
    // When every block is shared the last one is so too, however short it is.
    const contextLength = shared === hashIds.length ? inputLength : shared * blockSize;
    return [
      {
        inputLength,
        outputLength,
        contextLength,
        uniqueLength: inputLength - contextLength,
        hitRate: hitBlocks / hashIds.length,
        hitBlocks,
        blocks: hashIds.length,
      },
    ];
  });
}

/** How often each id occurs at each position: an id means the block and all before it, so position is part of it. */
function positionCounts(rows: readonly TraceRow[]): readonly Map<number, number>[] {
  const counts: Map<number, number>[] = [];
  for (const { hashIds = [] } of rows) {
    hashIds.forEach((id, at) => {
      counts[at] ??= new Map();
      counts[at].set(id, (counts[at].get(id) ?? 0) + 1);
    });
  }
  return counts;
}
