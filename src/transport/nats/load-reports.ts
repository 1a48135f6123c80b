import type { NatsConnection } from './nats-connection.ts';
import { loadSubject } from './subjects.ts';

/** What a worker says of one rank's load, as Dynamo's `kv_metrics` has it. */
export interface LoadMessage {
  /** u64 as decimal text. */
  readonly workerId: string;
  readonly dpRank: number;
  readonly kvUsedBlocks: number | undefined;
  readonly activeDecodeBlocks: number | undefined;
  readonly activePrefillTokens: number | undefined;
}

/** Listens to the loads of all workers of a namespace; returns what ends it. Malformed ones are left out. */
export function followLoads(
  connection: NatsConnection,
  namespace: string,
  onLoad: (load: LoadMessage) => void,
): () => void {
  return connection.subscribe(loadSubject(namespace), ({ data }) => {
    const load = readLoad(Buffer.from(data).toString());
    if (load !== undefined) onLoad(load);
  });
}

/** Says whether it was sent. */
export function publishLoad(
  connection: NatsConnection,
  place: { readonly namespace: string; readonly component: string },
  load: LoadMessage,
): boolean {
  return connection.publish(loadSubject(place.namespace, place.component), Buffer.from(writeLoad(load)));
}

/** Ids beyond 2^53 are bare numbers, as JSON writers of other languages make them. */
export function writeLoad({ workerId, dpRank, ...load }: LoadMessage): string {
  const facts = {
    dp_rank: dpRank,
    kv_used_blocks: load.kvUsedBlocks,
    active_decode_blocks: load.activeDecodeBlocks,
    active_prefill_tokens: load.activePrefillTokens,
  };
  return `{"worker_id":${workerId},${JSON.stringify(facts).slice(1)}`;
}

export function readLoad(source: string): LoadMessage | undefined {
  const workerId = /"worker_id"\s*:\s*"?(\d{1,20})\b/.exec(source)?.[1];
  if (workerId === undefined) return undefined;
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(source);
  } catch {
    return undefined;
  }
  return {
    workerId,
    dpRank: count(raw.dp_rank) ?? 0,
    kvUsedBlocks: count(raw.kv_used_blocks),
    activeDecodeBlocks: count(raw.active_decode_blocks),
    activePrefillTokens: count(raw.active_prefill_tokens),
  };
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}
