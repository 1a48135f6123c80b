import type { StorageTier } from '../kv/event.ts';
import type { PromptNamespace } from '../kv/hash.ts';
import { TIERS } from '../kv/index/kv-index.ts';
import type { RankEvent } from './pass.ts';

/** What a rank knows of one visible block. */
export interface HeldBlock {
  readonly blockHash: bigint;
  readonly localHash: bigint;
  readonly parentHash: bigint | undefined;
  readonly tokenIds: Uint32Array | undefined;
  readonly namespace?: PromptNamespace | undefined;
  /** Bit i: held in the i-th of {@link TIERS}. */
  tiers: number;
}

/**
 * Held blocks as stored events, parents before children, consecutive blocks of one chain in one event for each of
 * the tiers that hold them. The events carry no numbers of their own: all get `id`, that of the newest event they
 * stand for.
 */
export function storedEvents(held: ReadonlyMap<bigint, HeldBlock>, id: number): readonly RankEvent[] {
  const children = new Map<bigint | undefined, HeldBlock[]>();
  /** First those that begin a sequence, then those whose parent is nowhere any more. */
  const starts: HeldBlock[] = [];
  for (const block of held.values()) {
    const { parentHash } = block;
    if (parentHash !== undefined && !held.has(parentHash)) starts.push(block);
    const siblings = children.get(parentHash);
    if (siblings === undefined) children.set(parentHash, [block]);
    else siblings.push(block);
  }
  const events: RankEvent[] = [];
  starts.unshift(...(children.get(undefined) ?? []));
  starts.reverse();
  for (let start = starts.pop(); start !== undefined; start = starts.pop()) {
    const run: HeldBlock[] = [];
    for (let block: HeldBlock | undefined = start; block !== undefined; ) {
      run.push(block);
      const [first, ...others]: HeldBlock[] = children.get(block.blockHash) ?? [];
      starts.push(...others);
      block = first;
    }
    for (const part of alikeTiers(run))
      for (const [i, tier] of TIERS.entries())
        if (part[0]!.tiers & (1 << i)) events.push({ id, ...storedEvent(part, tier) });
  }
  return events;
}

/** Consecutive blocks of one chain as one stored event, without a number. */
export function storedEvent(run: readonly HeldBlock[], tier: StorageTier): Omit<RankEvent, 'id'> {
  const { namespace, parentHash } = run[0]!;
  const withTokens = run.every(({ tokenIds }) => tokenIds !== undefined);
  return {
    event: {
      kind: 'stored',
      ...(tier !== 'device' && { tier }),
      parentHash,
      blockHashes: BigUint64Array.from(run, ({ blockHash }) => blockHash),
      localHashes: BigUint64Array.from(run, ({ localHash }) => localHash),
    },
    tokenIds: withTokens ? Uint32Array.from(run.flatMap(({ tokenIds }) => [...tokenIds!])) : undefined,
    ...(namespace && { namespace }),
  };
}

/** Cuts a chain where its blocks cease to be in the same tiers. */
function* alikeTiers(chain: readonly HeldBlock[]): Generator<readonly HeldBlock[]> {
  let start = 0;
  for (let end = 1; end <= chain.length; end++) {
    if (chain[end]?.tiers === chain[start]!.tiers) continue;
    yield chain.slice(start, end);
    start = end;
  }
}
