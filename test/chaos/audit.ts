import { heldBlocks } from '../support/workers.ts';
import type { ChaosFleet } from './fleet.ts';

interface RankView {
  readonly worker: { readonly workerId: string };
  readonly url: string;
  readonly state: string;
  readonly reason: string;
  readonly missedBatches: number;
  readonly load: {
    readonly activeRequests: number;
    readonly activeDecodeBlocks: number;
    readonly activePrefillTokens: number;
  };
}

interface IndexView {
  readonly worker: { readonly workerId: string };
  readonly blocks: readonly string[];
}

export interface Audit {
  /** What does not hold yet; empty when all is well. */
  readonly problems: readonly string[];
  readonly comparedBlocks: number;
}

/** Whether a fleet at rest is what it should be: states, bookings, and every block. */
export async function audit({ url, places }: ChaosFleet): Promise<Audit> {
  const problems: string[] = [];
  const { ranks } = await json<{ ranks: RankView[] }>(`${url}/debug/ranks`);
  const index = await json<{ ranks: IndexView[] }>(`${url}/debug/index`);
  if (ranks.length !== places.length) problems.push(`${ranks.length} of ${places.length} ranks are known`);
  let comparedBlocks = 0;
  for (const { worker, url: engine, state, reason, load } of ranks) {
    if (state !== 'exact') problems.push(`${engine} is ${state}: ${reason}`);
    const booked = load.activeRequests + load.activeDecodeBlocks + load.activePrefillTokens;
    if (booked !== 0) problems.push(`${engine} has bookings: ${JSON.stringify(load)}`);
    const known = new Set(index.ranks.find((each) => each.worker.workerId === worker.workerId)?.blocks);
    const [held] = await heldBlocks(engine);
    const pool = new Set(held!.hashes.map(String));
    const missing = [...pool].filter((hash) => !known.has(hash)).length;
    const surplus = [...known].filter((hash) => !pool.has(hash)).length;
    if (missing + surplus > 0)
      problems.push(
        `${engine} holds ${pool.size} blocks: the index lacks ${missing} of them and has ${surplus} others`,
      );
    comparedBlocks += pool.size;
  }
  return { problems, comparedBlocks };
}

export async function json<T>(url: string): Promise<T> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
