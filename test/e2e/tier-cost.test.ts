import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get, post } from '../support/json-service.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

const BLOCK = 16;
/** Prompts of 10 blocks and 5 tokens; those of a family begin alike in nothing. */
const prompt = (family: number): number[] =>
  Array.from({ length: 10 * BLOCK + 5 }, (_, i) => 1000 * family + i);

interface Candidate {
  readonly worker: { readonly workerId: string };
  readonly chosen: boolean;
  readonly cost: number;
  readonly deviceBlocks: number;
  readonly hostPinnedBlocks: number;
  readonly diskBlocks: number;
  readonly cachedTokens: number;
  readonly creditBlocks: number;
  readonly prefillTokens: number;
  readonly activeBlocks: number;
  readonly additionalBlocks: number;
}

/** The cost written out anew from its definition, with what lower tiers take off. */
function costOf(candidate: Candidate, host: number, disk: number) {
  const isl = 10 * BLOCK + 5;
  const { deviceBlocks, hostPinnedBlocks, diskBlocks, prefillTokens } = candidate;
  const effective = deviceBlocks + host * hostPinnedBlocks + disk * diskBlocks;
  const cachedTokens = Math.round(effective * BLOCK);
  const raw = (prefillTokens + Math.max(0, isl - cachedTokens) + cachedTokens) / BLOCK;
  const cost = Math.max(0, raw - effective) + candidate.activeBlocks + candidate.additionalBlocks;
  return { cost, cachedTokens, creditBlocks: effective };
}

/** Two workers with devices of 12 blocks, hosts of 16 and disks of 64: one has served three prompts in turn. */
describe('what a worker costs that holds a prompt in lower tiers', () => {
  const processes: KvasirProcess[] = [];
  let workers: readonly { url: string; kvEvents: string }[];
  let engines: readonly string[];

  async function start(...args: string[]) {
    const process = new KvasirProcess([...args, '--log-level', 'error']);
    processes.push(process);
    return (await process.json()) as { url: string; workers?: typeof workers };
  }

  const send = (url: string, family: number) =>
    post(`${url}/v1/completions`, { model: 'kvasir-sim', prompt: prompt(family), max_tokens: 1 });

  beforeAll(async () => {
    const up = await start(
      ...['up', '--workers', '2', '--http-port', '0', '--system-port-base', '0'],
      ...['--block-size', String(BLOCK), '--speedup', '10', '--num-gpu-blocks', '12'],
      ...['--num-g2-blocks', '16', '--num-g3-blocks', '64', '--kv-bytes-per-token', '100000'],
    );
    workers = up.workers!;
    engines = workers.flatMap(({ url, kvEvents }) => ['--engine', `${url},kv-events=${kvEvents}`]);
    for (const family of [1, 2, 3, 4]) await send(workers[0]!.url, family);
  });
  afterAll(async () => {
    for (const process of processes.splice(0)) await process.kill();
  });

  /** A router of its own over the same workers, which knows all that they hold. */
  async function router(...flags: string[]): Promise<string> {
    const { url } = await start('router', '--port', '0', ...engines, ...flags);
    await eventually('both workers are known, and what one holds', async () => {
      const { candidates } = await decide(url, 4).catch(() => ({ candidates: [] as readonly Candidate[] }));
      return candidates.length === 2 && candidates.some(({ deviceBlocks }) => deviceBlocks === 10);
    });
    return url;
  }

  async function decide(url: string, family: number): Promise<{ candidates: readonly Candidate[] }> {
    const answer = await post(`${url}/best_worker_id`, { token_ids: prompt(family) });
    expect(answer.status).toBe(200);
    return (await get(`${url}/debug/decisions?limit=1`)).body.decisions[0];
  }

  test.each([
    { flags: [], host: 0.75, disk: 0.25 },
    {
      flags: ['--router-host-cache-hit-weight', '1', '--router-disk-cache-hit-weight', '0.5'],
      host: 1,
      disk: 0.5,
    },
    {
      flags: ['--router-host-cache-hit-weight', '0', '--router-disk-cache-hit-weight', '0'],
      host: 0,
      disk: 0,
    },
  ])('is what the formula says with $flags', async ({ flags, host, disk }) => {
    const url = await router(...flags);
    const places: (readonly [number, number, number])[] = [];
    for (const family of [1, 2, 3, 4]) {
      const { candidates } = await decide(url, family);
      for (const candidate of candidates) {
        const { cost, cachedTokens, creditBlocks } = costOf(candidate, host, disk);
        expect(candidate.cost).toBeCloseTo(cost, 9);
        expect(candidate).toMatchObject({ cachedTokens, creditBlocks });
      }
      const costs = candidates.map(({ cost }) => cost);
      expect(candidates.find(({ chosen }) => chosen)!.cost).toBe(Math.min(...costs));
      const { deviceBlocks, hostPinnedBlocks, diskBlocks } = candidates.find(
        (each) => each.deviceBlocks + each.hostPinnedBlocks + each.diskBlocks > 0,
      )!;
      places.push([deviceBlocks, hostPinnedBlocks, diskBlocks]);
    }
    // The oldest are on the disk, where no tier before it holds their first blocks.
    expect(places).toEqual([
      [0, 0, 10],
      [0, 7, 3],
      [1, 9, 0],
      [10, 0, 0],
    ]);
  });

  // The last one, as it changes what is where.
  test('is paid back: the engine finds in each tier what the router saw there', async () => {
    const url = await router();
    for (const family of [3, 1]) {
      const asked = { token_ids: prompt(family), stop_conditions: { max_tokens: 1 }, stream: false };
      const answer = await post(`${url}/generate`, asked);
      expect(answer.status).toBe(200);
      const decision = (await get(`${url}/debug/decisions?limit=1`)).body.decisions[0];
      expect(decision).toMatchObject({ predictedCachedTokens: 160, actualCachedTokens: 160 });
    }
  });
});
