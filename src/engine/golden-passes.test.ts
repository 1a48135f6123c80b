import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BlockHasher } from '../kv/hash.ts';
import { drawnTokens, idRange } from './answer-tokens.ts';
import { parseEngineArgs } from './engine-args.ts';
import { engineSettings } from './engine-settings.ts';
import { EngineWorker } from './engine-worker.ts';
import type { ForwardPass, Pass, PressureRecord, PressureState, RankEvent, RankMetrics } from './pass.ts';
import { TokenPrompt } from './prompt.ts';

interface GoldenRequest {
  readonly at_ms: number;
  readonly id: number;
  readonly tokens: number[];
  readonly output_ids: number[];
  readonly dp_rank?: number;
}

interface GoldenRank {
  readonly rank: number;
  readonly rank_end: number;
  readonly admit?: [number, number][];
  readonly out?: [number, number | null, string, number | null][];
  readonly kv?: unknown[];
  readonly pressure?: unknown[];
  readonly metrics: number[];
  readonly fpm: number[];
}

interface GoldenScenario {
  readonly name: string;
  readonly engine: Record<string, unknown>;
  readonly requests: GoldenRequest[];
  readonly passes: { start: number; end: number; ranks: GoldenRank[] }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/sim/engine-passes.json', import.meta.url), 'utf8'),
) as { scenarios: GoldenScenario[] };

describe('the engine core repeats the recorded passes of', () => {
  for (const scenario of golden.scenarios) {
    test(scenario.name, () => {
      const settings = engineSettings({
        ...parseEngineArgs(scenario.engine),
        dpSize: 1 + Math.max(...scenario.requests.map(({ dp_rank }) => dp_rank ?? 0)),
      });
      const worker = new EngineWorker({
        settings,
        hasher: new BlockHasher(),
        answer: drawnTokens(0, idRange(0, 1)),
        stream: 0,
        snapshots: false,
      });
      expect(drive(worker, scenario.requests)).toEqual(scenario.passes.map(normalized));
    });
  }
});

/** Submits what has arrived, runs one pass to its end, and so on; jumps to the next arrival when idle. */
function drive(worker: EngineWorker, requests: readonly GoldenRequest[]): unknown[] {
  const passes: unknown[] = [];
  const pending = [...requests];
  let nowNs = 0;
  for (;;) {
    while (pending[0] !== undefined && pending[0].at_ms * 1e6 <= nowNs) {
      const { id, tokens, output_ids, dp_rank } = pending.shift()!;
      worker.ranks[dp_rank ?? 0]!.submit({
        id: String(id),
        prompt: new TokenPrompt(Uint32Array.from(tokens)),
        maxOutputTokens: output_ids.length,
        plannedTokens: Uint32Array.from(output_ids),
      });
    }
    if (worker.hasWork) {
      const group = worker.pass(nowNs);
      const ranks = group.ranks.map(({ rank, pass }) =>
        described(rank, pass, worker.ranks[rank]!.metrics(), worker.ranks[rank]!.forwardPass()),
      );
      passes.push({ start: nowNs / 1e6, end: group.endNs / 1e6, ranks });
      nowNs = group.endNs;
    } else if (pending[0] !== undefined) nowNs = pending[0].at_ms * 1e6;
    else return passes;
    expect(passes.length).toBeLessThan(10_000);
  }
}

function normalized({ start, end, ranks }: GoldenScenario['passes'][number]): unknown {
  return {
    start: expect.closeTo(start, 5),
    end: expect.closeTo(end, 5),
    ranks: ranks.map((rank) => ({
      rank: rank.rank,
      rank_end: expect.closeTo(rank.rank_end, 5),
      admit: rank.admit ?? [],
      out: rank.out ?? [],
      kv: rank.kv ?? [],
      pressure: rank.pressure ?? [],
      metrics: rank.metrics,
      fpm: rank.fpm.map((value) => expect.closeTo(value, 5)),
    })),
  };
}

function described(rank: number, pass: Pass, metrics: RankMetrics, fpm: ForwardPass): unknown {
  return {
    rank,
    rank_end: pass.endNs / 1e6,
    admit: pass.admissions.map(({ sequence, reusedTokens }) => [Number(sequence.id), reusedTokens]),
    out: pass.outputs.flatMap(({ sequence, first, count, completed, rejected, cachedTokens }) => {
      const flags = `${completed ? 'C' : ''}${rejected ? 'R' : ''}`;
      const id = Number(sequence.id);
      if (count === 0) return [[id, null, flags, cachedTokens ?? null]];
      return Array.from(sequence.answerTokens(first, count), (token, i) => [
        id,
        token,
        i === count - 1 ? flags : '',
        i === 0 ? (cachedTokens ?? null) : null,
      ]);
    }),
    kv: pass.events.map(describedEvent),
    pressure: pass.pressure.map(describedPressure),
    metrics: [
      metrics.activeBlocks,
      metrics.totalBlocks,
      metrics.runningRequests,
      metrics.waitingRequests,
      metrics.preemptionsTotal,
      metrics.passHitTokens,
      metrics.passQueriedTokens,
    ],
    fpm: Object.values(fpm).slice(0, 13),
  };
}

function describedEvent({ id, event, tokenIds }: RankEvent): unknown {
  if (event.kind === 'removed') return { id, removed: Array.from(event.blockHashes, String) };
  if (event.kind !== 'stored') return { id, kind: event.kind };
  const size = (tokenIds?.length ?? 0) / event.blockHashes.length;
  const blocks = Array.from(event.blockHashes, (hash, i) => [
    String(hash),
    String(event.localHashes[i]),
    ...(tokenIds === undefined ? [] : [[...tokenIds.subarray(i * size, (i + 1) * size)]]),
  ]);
  return { id, stored: { parent: event.parentHash === undefined ? null : String(event.parentHash), blocks } };
}

function describedPressure(record: PressureRecord): unknown {
  const state = ({ activeBlocks, runningRequests, waitingRequests }: PressureState) => ({
    active_blocks: activeBlocks,
    running_requests: runningRequests,
    waiting_requests: waitingRequests ?? null,
  });
  return {
    id: Number(record.sequence.id),
    kind: record.kind,
    request_active_blocks_before: record.requestActiveBlocksBefore,
    state_before: state(record.before),
    state_after: state(record.after),
    ...(record.kind === 'sglang_retraction'
      ? {
          logical_available_blocks_before: record.logicalAvailableBlocksBefore,
          required_blocks_before: record.requiredBlocksBefore,
        }
      : {}),
  };
}
