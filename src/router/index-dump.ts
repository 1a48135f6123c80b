import { fail } from '../base/errors.ts';
import type { KvEvent, WorkerKey } from '../kv/event.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import { fromRouterEvent, type RouterEvent, toRouterEvent } from './router-event.ts';

/** All that one partition holds, in the form of `GET /dump`: parents first. */
export interface PartitionDump {
  readonly block_size: number;
  readonly events: readonly RouterEvent[];
  /** Number of the last batch that is in it, by `worker:rank`; Dynamo's dumps have none. */
  readonly last_seqs?: Readonly<Record<string, number>> | undefined;
}

/** Blocks of one rank, to start from. */
export interface RankDump {
  readonly key: WorkerKey;
  /** -1 where it is not known. */
  readonly lastSeq: number;
  readonly events: readonly KvEvent[];
}

export function dumpOf(router: KvRouter): PartitionDump {
  const events = [...router.intake.dump()].flatMap(({ rank, event }, i) => {
    const key = router.fleet.rank(rank)?.key;
    return key === undefined ? [] : [toRouterEvent(key, event, i)];
  });
  const last_seqs = Object.fromEntries(
    router.intake
      .states()
      .filter(({ lastSeq }) => lastSeq >= 0)
      .map(({ worker, lastSeq }) => [`${worker.workerId}:${worker.dpRank}`, lastSeq]),
  );
  return { block_size: router.blockSize, events, last_seqs };
}

/** The ranks of a dump. Throws KV_FILE_MALFORMED when it is none. */
export function readDump(dump: unknown, source: string): ReadonlyMap<string, PartitionRanks> {
  const partitions = new Map<string, PartitionRanks>();
  for (const [name, value] of Object.entries((dump ?? {}) as Record<string, PartitionDump | undefined>)) {
    if (!Number.isInteger(value?.block_size) || !Array.isArray(value?.events))
      throw fail('KV_FILE_MALFORMED', {
        path: source,
        reason: `${name} has no block_size and events`,
        mend: 'Name a peer that is an indexer or a selection service.',
      });
    partitions.set(name, { blockSize: value.block_size, ranks: ranksOf(value) });
  }
  return partitions;
}

export interface PartitionRanks {
  readonly blockSize: number;
  readonly ranks: readonly RankDump[];
}

function ranksOf({ events, last_seqs = {} }: PartitionDump): readonly RankDump[] {
  const ranks = new Map<string, { key: WorkerKey; lastSeq: number; events: KvEvent[] }>();
  for (const each of events) {
    const read = fromRouterEvent(each);
    if (read === undefined) continue;
    const name = `${read.key.workerId}:${read.key.dpRank}`;
    let rank = ranks.get(name);
    if (rank === undefined) {
      rank = { key: read.key, lastSeq: last_seqs[name] ?? -1, events: [] };
      ranks.set(name, rank);
    }
    rank.events.push(read.event);
  }
  return [...ranks.values()];
}
