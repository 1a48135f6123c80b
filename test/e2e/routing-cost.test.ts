import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { get, post } from '../support/json-service.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

const BLOCK = 16;
/** 10 blocks and 5 tokens more. */
const TOKENS = Array.from({ length: 165 }, (_, i) => i + 5);
const OTHERS = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

interface Weights {
  /** As in the reference's formula: O, D, P, Wr, T, and whether prompts are tracked. */
  readonly O: number;
  readonly D: number;
  readonly P: number;
  readonly Wr: number;
  readonly T: number;
  readonly track: boolean;
}

interface Candidate {
  readonly worker: { readonly workerId: string };
  readonly chosen: boolean;
  readonly cost: number;
  readonly probability: number;
  readonly deviceBlocks: number;
  readonly creditBlocks: number;
  readonly prefillTokens: number;
  readonly activeBlocks: number;
  readonly additionalBlocks: number;
  readonly activeRequests: number;
}

/** The cost written out anew from its definition, for candidates without lower tiers. */
function costOf(candidate: Candidate, all: readonly Candidate[], { O, D, P, Wr, track }: Weights): number {
  const isl = TOKENS.length;
  const { deviceBlocks, prefillTokens, activeBlocks, additionalBlocks, activeRequests } = candidate;
  const cached = deviceBlocks * BLOCK;
  const least = Math.min(...all.map((each) => each.prefillTokens));
  const decay = track ? 1 / (1 + (D * (prefillTokens - least)) / BLOCK / Math.ceil(isl / BLOCK)) : 1;
  const raw = track ? (prefillTokens + (isl - cached) + cached) / BLOCK : 0;
  return (
    P * Math.max(0, raw - O * decay * deviceBlocks) + activeBlocks + additionalBlocks + Wr * activeRequests
  );
}

/** Workers 0 to 2: one holds the prompt and is busy, one is busy with less, one is idle. */
describe('what a worker costs', () => {
  const processes: KvasirProcess[] = [];
  let engines: readonly string[];

  async function start(...args: string[]) {
    const process = new KvasirProcess([...args, '--log-level', 'error']);
    processes.push(process);
    return (await process.json()) as {
      url: string;
      workers?: readonly { url: string; kvEvents: string }[];
    };
  }

  beforeAll(async () => {
    const { workers } = await start(
      'up',
      ...['--workers', '3', '--http-port', '0', '--system-port-base', '0'],
      ...['--block-size', String(BLOCK), '--speedup', '10'],
    );
    engines = workers!.flatMap((worker) => ['--engine', `${worker.url},kv-events=${worker.kvEvents}`]);
    await post(`${workers![0]!.url}/v1/completions`, { model: 'kvasir-sim', prompt: TOKENS, max_tokens: 1 });
  });
  afterAll(async () => {
    for (const process of processes.splice(0)) await process.kill();
  });

  /** A router of its own over the same workers, each of which is given its share of work. */
  async function router(...flags: string[]) {
    const { url } = await start('router', '--port', '0', ...engines, ...flags);
    const held = async () =>
      (await post(`${url}/get_overlap_scores`, { token_ids: TOKENS })).body.workers as
        | { worker_id: bigint; device_blocks: number }[]
        | undefined;
    await eventually('three workers are known, and what one holds', async () => {
      const blocks = (await held())?.map(({ device_blocks }) => device_blocks) ?? [];
      return blocks.length === 3 && Math.max(...blocks) === 10;
    });
    const ids = (await held())!.sort((a, b) => b.device_blocks - a.device_blocks).map((row) => row.worker_id);
    const call = (body: string) => post(`${url}/router`, body);
    const book = async (id: string, worker: bigint, tokens: readonly number[], started: boolean) => {
      const pinned = `{"worker_id":${worker}}`;
      const { status } = await call(
        `{"method":"new","request_id":"${id}","tokens":[${tokens}],"pinned_worker":${pinned}}`,
      );
      expect(status).toBe(200);
      if (started) await call(`{"method":"mark_prefill","request_id":"${id}"}`);
    };
    await book('warm, computing', ids[0]!, OTHERS(1000, 64), false);
    await book('warm, answering', ids[0]!, OTHERS(2000, 96), true);
    await book('cold, answering', ids[1]!, OTHERS(3000, 48), true);
    return { url, ids };
  }

  async function decide(url: string, override: object) {
    const asked = { token_ids: TOKENS, router_config_override: override };
    const answer = await post(`${url}/best_worker_id`, asked);
    expect(answer.status).toBe(200);
    const { decisions } = (await get(`${url}/debug/decisions?limit=1`)).body;
    const scores = await post(`${url}/get_overlap_scores`, asked);
    return {
      worker: answer.body.worker_id as bigint,
      weights: decisions[0].weights,
      candidates: decisions[0].candidates as Candidate[],
      credits: new Map<bigint, number>(
        scores.body.workers.map((row: { worker_id: bigint; router_credit_blocks: number }) => [
          row.worker_id,
          row.router_credit_blocks,
        ]),
      ),
    };
  }

  /** Every candidate costs what the formula says, the cheapest was taken, and the services tell the same credits. */
  async function check(url: string, override: object, weights: Weights) {
    const { worker, candidates, credits } = await decide(url, override);
    expect(candidates).toHaveLength(3);
    for (const candidate of candidates) {
      expect(candidate.cost).toBeCloseTo(costOf(candidate, candidates, weights), 9);
      expect(credits.get(BigInt(candidate.worker.workerId))).toBeCloseTo(candidate.creditBlocks, 9);
    }
    const costs = candidates.map(({ cost }) => cost);
    if (weights.T === 0) expect(candidates.find(({ chosen }) => chosen)!.cost).toBe(Math.min(...costs));
    else {
      const range = Math.max(...costs) - Math.min(...costs);
      const shares = costs.map((cost) => Math.exp(-(cost - Math.min(...costs)) / range / weights.T));
      const sum = shares.reduce((a, b) => a + b);
      for (const [i, { probability }] of candidates.entries())
        expect(probability).toBeCloseTo(shares[i]! / sum, 9);
    }
    expect(String(worker)).toBe(candidates.find(({ chosen }) => chosen)!.worker.workerId);
    return { worker, candidates };
  }

  const DEFAULTS: Weights = { O: 1, D: 0, P: 1, Wr: 0, T: 0, track: true };

  test('is what the formula says, under every override of a request', async () => {
    const { url, ids } = await router();
    const rows: readonly [object, Partial<Weights>, winner: number | undefined][] = [
      [{}, {}, undefined],
      [{ overlap_score_credit: 0 }, { O: 0 }, 2],
      [{ overlap_score_credit: 2.5 }, { O: 2.5 }, undefined],
      [{ prefill_load_scale: 8 }, { P: 8 }, 0],
      [{ prefill_load_scale: 0 }, { P: 0 }, 2],
      [{ overlap_score_weight: 8 }, { P: 8 }, 0],
      [{ overlap_score_weight: 0 }, { P: 0, O: 0 }, 2],
      [{ overlap_score_weight: 8, prefill_load_scale: 0.5 }, { P: 0.5 }, undefined],
      [{ track_prefill_tokens: false }, { track: false }, 2],
      [{ router_temperature: 0.5 }, { T: 0.5 }, undefined],
      [{ router_temperature: 0.5, overlap_score_credit: 0 }, { T: 0.5, O: 0 }, undefined],
      [{ assume_kv_reuse: false, shared_cache_multiplier: 0.5 }, {}, undefined],
    ];
    for (const [override, weights, winner] of rows) {
      const { worker, candidates } = await check(url, override, { ...DEFAULTS, ...weights });
      if (winner !== undefined) expect([override, worker]).toEqual([override, ids[winner]]);
      // Without credit nothing is looked up.
      const held = weights.O === 0 ? 0 : 10;
      expect(Math.max(...candidates.map(({ deviceBlocks }) => deviceBlocks))).toBe(held);
    }
    for (const wrong of [{ router_temperature: -1 }, { shared_cache_multiplier: 2 }, { assume_kv_reuse: 1 }])
      expect(
        (await post(`${url}/best_worker_id`, { token_ids: TOKENS, router_config_override: wrong })).status,
      ).toBe(400);
  });

  test.each<[readonly string[], Partial<Weights>]>([
    [
      [
        ...['--router-kv-overlap-score-credit', '0.5', '--router-kv-overlap-score-credit-decay', '1.5'],
        ...['--router-prefill-load-scale', '2', '--router-decode-active-request-weight', '3'],
      ],
      { O: 0.5, D: 1.5, P: 2, Wr: 3 },
    ],
    [['--kv-overlap-score-weight', '3', '--router-temperature', '2'], { P: 3, T: 2 }],
    [['--no-router-track-prefill-tokens'], { track: false }],
  ])('is what the flags %j make it', async (flags, weights) => {
    const { url } = await router(...flags);
    await check(url, {}, { ...DEFAULTS, ...weights });
    const inherited = { ...DEFAULTS, ...weights, O: 0.25 };
    await check(url, { overlap_score_credit: 0.25 }, inherited);
  });

  test('leaves ties to the seed, and to the smaller cache in version 1.0', async () => {
    const draws = async (...flags: string[]) => {
      const { url } = await start('router', '--port', '0', ...engines, ...flags);
      const workers = async () =>
        (await post(`${url}/get_overlap_scores`, { token_ids: OTHERS(9000, 32) })).body.workers?.length;
      await eventually('three workers are known', async () => (await workers()) === 3);
      const chosen: string[] = [];
      for (let i = 0; i < 12; i++)
        chosen.push(
          String((await post(`${url}/best_worker_id`, { token_ids: OTHERS(9000, 32) })).body.worker_id),
        );
      return chosen.join();
    };
    const [first, again, other, twin, legacy] = await Promise.all([
      draws('--router-seed', '7'),
      draws('--router-seed', '7'),
      draws('--router-seed', '8'),
      // A router of another name that shares the configuration.
      draws('--router-seed', '7', '--router-id', 'two'),
      draws('--router-preset', '1.0'),
    ]);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    expect(twin).not.toBe(first);
    expect(new Set(first.split(',')).size).toBeGreaterThan(1);
    // Two are empty, and the one that holds a prompt is never taken.
    expect(new Set(legacy.split(',')).size).toBe(2);
  });

  // The last one, as it leaves its prompt in a worker's cache.
  test('holds for requests that the router sends itself', async () => {
    const { url } = await router();
    const asked = {
      token_ids: TOKENS,
      stop_conditions: { max_tokens: 1 },
      stream: false,
      router_config_override: { overlap_score_credit: 0.25, prefill_load_scale: 3 },
    };
    const answer = await post(`${url}/generate`, asked);
    expect(answer.status).toBe(200);
    expect(answer.body.usage.completion_tokens).toBe(1);
    const { decisions } = (await get(`${url}/debug/decisions?limit=1`)).body;
    expect(decisions[0].weights).toMatchObject({ overlapScoreCredit: 0.25, prefillLoadScale: 3 });
    for (const candidate of decisions[0].candidates)
      expect(candidate.cost).toBeCloseTo(
        costOf(candidate, decisions[0].candidates, { ...DEFAULTS, O: 0.25, P: 3 }),
        9,
      );
    const wrong = { ...asked, router_config_override: { overlap_score_credit: -1 } };
    expect((await post(`${url}/generate`, wrong)).status).toBe(400);
  });
});
