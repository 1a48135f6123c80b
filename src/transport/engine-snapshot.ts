import { type RankBlocks, readSnapshot } from '../formats/kv-events/snapshot.ts';
import type { WorkerInstance } from './discovery.ts';
import type { HttpClient } from './http-client.ts';

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 512 * 1024 * 1024;

/** All blocks that a rank of the worker holds now; undefined where the worker cannot tell. */
export async function fetchSnapshot(
  client: HttpClient,
  { snapshot }: Pick<WorkerInstance, 'snapshot'>,
  dpRank: number,
): Promise<RankBlocks | undefined> {
  if (snapshot === undefined) return undefined;
  const url = `${snapshot}?dp_rank=${dpRank}`;
  const { status, body } = await client.json(url, { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES });
  if (status === 404) return undefined;
  return readSnapshot(body, url).find((rank) => rank.dpRank === dpRank);
}
