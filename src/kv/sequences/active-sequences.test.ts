import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { type ActiveRequest, ActiveSequences, type ActiveSequencesOptions } from './active-sequences.ts';
import { PrefillBacklog } from './prefill-backlog.ts';

interface GoldenStep {
  readonly add?: string;
  readonly free?: string;
  readonly output?: string;
  readonly fraction?: number;
  readonly seq?: readonly number[];
  readonly prefill_tokens?: number;
  readonly blocks?: number;
  readonly tokens?: number;
}

const golden = JSON.parse(readFileSync(new URL('../../../test/golden/router.json', import.meta.url), 'utf8'));
const hashes = (blocks: readonly number[]): BigUint64Array => BigUint64Array.from(blocks.map(BigInt));

function makeSequences(changes: Partial<ActiveSequencesOptions> = {}) {
  const clock = new VirtualClock();
  const sequences = new ActiveSequences({
    clock,
    blockSize: 4,
    leaseMs: 300_000,
    trackOutputBlocks: true,
    ...changes,
  });
  return { clock, sequences };
}

describe('active sequences', () => {
  test.each(golden.active_sequences as { name: string; steps: GoldenStep[] }[])(
    'count as recorded: $name',
    ({ steps }) => {
      const { sequences } = makeSequences();
      const requests = new Map<string, ActiveRequest>();
      for (const step of steps) {
        if (step.add !== undefined) {
          const newTokens = step.prefill_tokens!;
          const spec = { requestId: step.add, rank: 0, blocks: hashes(step.seq!), isl: 4 * step.seq!.length };
          requests.set(step.add, sequences.add({ ...spec, newTokens })!);
        }
        if (step.output !== undefined)
          sequences.addOutputBlocks(requests.get(step.output)!, 1, step.fraction);
        if (step.free !== undefined) sequences.free(requests.get(step.free)!);
        if (step.blocks !== undefined) expect(sequences.activeBlocks(0)).toBe(step.blocks);
        if (step.tokens !== undefined) expect(sequences.prefillTokens(0)).toBe(step.tokens);
      }
    },
  );

  test('refuse an id that is active, and take it again once it is free', () => {
    const { sequences } = makeSequences();
    const spec = { requestId: 'a', rank: 0, blocks: 2, isl: 8, newTokens: 8 };
    const first = sequences.add(spec)!;
    expect(sequences.add(spec)).toBeUndefined();
    sequences.free(first);
    const second = sequences.add(spec)!;
    sequences.free(first);
    expect(sequences.requestCount(0)).toBe(1);
    expect(second.live).toBe(true);
  });

  test('free and prefill completion are idempotent', () => {
    const { sequences } = makeSequences();
    const request = sequences.add({ requestId: 'a', rank: 0, blocks: 3, isl: 12, newTokens: 12 })!;
    sequences.completePrefill(request);
    sequences.completePrefill(request);
    expect(sequences.prefillTokens(0)).toBe(0);
    sequences.free(request);
    sequences.free(request);
    sequences.addOutputTokens(request, 100);
    expect([sequences.activeBlocks(0), sequences.requestCount(0), sequences.size]).toEqual([0, 0, 0]);
  });

  test('book an output block whenever generated tokens spill into a new one', () => {
    const { sequences } = makeSequences();
    const request = sequences.add({ requestId: 'a', rank: 0, blocks: 1, isl: 6, newTokens: 6 })!;
    const blocks: number[] = [];
    for (let i = 0; i < 7; i++) {
      sequences.addOutputTokens(request, 1);
      blocks.push(sequences.activeBlocks(0));
    }
    // The prompt ends inside its second block, which two tokens fill.
    expect(blocks).toEqual([1, 1, 2, 2, 2, 2, 3]);
  });

  test('weigh a request by the share of its output still to come', () => {
    const { sequences } = makeSequences();
    const spec = { requestId: 'a', rank: 0, blocks: hashes([1, 2]), isl: 8, newTokens: 8 };
    const request = sequences.add({ ...spec, expectedOutputTokens: 16 })!;
    sequences.addOutputTokens(request, 4);
    // Three blocks at 1 - 4/16.
    expect(sequences.activeBlocks(0)).toBe(2);
    sequences.addOutputTokens(request, 12);
    expect(sequences.activeBlocks(0)).toBe(0);
  });

  test('leave outputs out when they are not tracked', () => {
    const { sequences } = makeSequences({ trackOutputBlocks: false });
    const request = sequences.add({ requestId: 'a', rank: 0, blocks: 2, isl: 8, newTokens: 8 })!;
    sequences.addOutputTokens(request, 1000);
    expect(sequences.activeBlocks(0)).toBe(2);
  });

  test('free requests whose lease ran out, but not a long one that keeps streaming', () => {
    const expired: string[] = [];
    const { clock, sequences } = makeSequences({ onExpired: (id) => expired.push(id) });
    sequences.add({ requestId: 'silent', rank: 0, blocks: 1, isl: 4, newTokens: 4 });
    const live = sequences.add({ requestId: 'live', rank: 0, blocks: 1, isl: 4, newTokens: 4 })!;
    for (let minute = 1; minute <= 60; minute++) {
      clock.advanceTo(60_000 * minute);
      sequences.addOutputTokens(live, 1);
    }
    expect(expired).toEqual(['silent']);
    sequences.free(live);
    clock.runUntilIdle();
    expect(clock.nowMs()).toBeLessThanOrEqual(61 * 60_000);
  });

  test('drop everything of a rank that left', () => {
    const { sequences } = makeSequences();
    sequences.add({ requestId: 'a', rank: 0, blocks: hashes([1, 2]), isl: 8, newTokens: 8 });
    sequences.add({ requestId: 'b', rank: 1, blocks: hashes([1, 2]), isl: 8, newTokens: 8 });
    sequences.removeRank(0);
    const depths = new Uint32Array(2);
    sequences.activePrefixes(hashes([1, 2, 3]), depths);
    expect([...depths]).toEqual([0, 2]);
    expect([sequences.activeBlocks(0), sequences.prefillTokens(0), sequences.size]).toEqual([0, 0, 1]);
  });

  test('agree with a naive model under any order of calls', () => {
    // Paths through a small trie, named by sums so that equal hashes mean equal prefixes.
    const path = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 6 });
    const step = fc.record({
      kind: fc.constantFrom('add', 'add', 'add', 'free', 'fraction'),
      path,
      rank: fc.nat(2),
      pick: fc.nat(),
      fraction: fc.constantFrom(0, 0.25, 0.5, 1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), path, (steps, query) => {
        const { sequences } = makeSequences();
        const model = new NaiveModel();
        const active: { request: ActiveRequest; id: number }[] = [];
        for (const [id, { kind, path: blocks, rank, pick, fraction }] of steps.entries()) {
          if (kind === 'add') {
            const names = chain(blocks);
            const spec = { requestId: String(id), rank, blocks: names, isl: 4 * names.length + 1 };
            active.push({ request: sequences.add({ ...spec, newTokens: 0 })!, id });
            model.add(id, rank, [...names].map(String));
          } else if (active.length > 0) {
            const at = pick % active.length;
            const { request, id: chosen } = active[at]!;
            if (kind === 'free') {
              sequences.free(request);
              model.free(chosen);
              active.splice(at, 1);
            } else {
              sequences.addOutputBlocks(request, 1, fraction);
              model.output(chosen, fraction);
            }
          }
          for (let r = 0; r < 3; r++) expect(sequences.activeBlocks(r)).toBe(Math.round(model.weight(r)));
        }
        const depths = new Uint32Array(3);
        sequences.activePrefixes(chain(query), depths);
        const names = [...chain(query)].map(String);
        expect([...depths]).toEqual([0, 1, 2].map((rank) => model.prefix(rank, names)));
      }),
      { numRuns: 300 },
    );
  });
});

/** A number for each prefix of the path. */
function chain(blocks: readonly number[]): BigUint64Array {
  let name = 0n;
  return BigUint64Array.from(blocks, (block) => {
    name = 4n * name + BigInt(block);
    return name;
  });
}

/** Blocks as single entries with their owners, the way the calls are defined. */
class NaiveModel {
  readonly #blocks = new Map<string, { rank: number; owners: Set<number>; weight: number }>();
  readonly #requests = new Map<number, { rank: number; names: string[]; outputs: number; weight: number }>();

  add(id: number, rank: number, names: string[]): void {
    this.#requests.set(id, { rank, names, outputs: 0, weight: 1 });
    for (const name of names) {
      const key = `${rank}/${name}`;
      const block = this.#blocks.get(key) ?? { rank, owners: new Set(), weight: 1 };
      block.owners.add(id);
      this.#blocks.set(key, block);
    }
  }

  output(id: number, fraction: number): void {
    const request = this.#requests.get(id)!;
    request.outputs++;
    request.weight = fraction;
    for (const name of request.names) {
      const block = this.#blocks.get(`${request.rank}/${name}`)!;
      if (block.owners.size === 1) block.weight = fraction;
    }
  }

  free(id: number): void {
    const { rank, names } = this.#requests.get(id)!;
    this.#requests.delete(id);
    for (const name of names) {
      const block = this.#blocks.get(`${rank}/${name}`)!;
      block.owners.delete(id);
      if (block.owners.size === 0) this.#blocks.delete(`${rank}/${name}`);
    }
  }

  weight(rank: number): number {
    let sum = 0;
    for (const block of this.#blocks.values()) if (block.rank === rank) sum += block.weight;
    for (const request of this.#requests.values())
      if (request.rank === rank) sum += request.outputs * request.weight;
    return sum;
  }

  prefix(rank: number, names: readonly string[]): number {
    const hole = names.findIndex((name) => !this.#blocks.has(`${rank}/${name}`));
    return hole === -1 ? names.length : hole;
  }
}

describe('the prefill backlog', () => {
  const prefill = (tokens: number, durationS: number | null) => ({
    tokens,
    durationMs: durationS === null ? undefined : 1000 * durationS,
  });

  test.each((golden.prefill_decay as { at?: [number, number][]; active: never[] }[]).slice(1))(
    'shrinks as computed: $rule',
    ({ active, at }) => {
      const backlog = new PrefillBacklog();
      for (const { tokens, duration_s } of active as { tokens: number; duration_s: number | null }[])
        backlog.add(prefill(tokens, duration_s), 0);
      for (const [seconds, tokens] of at!) expect(backlog.tokensLeft(1000 * seconds)).toBe(tokens);
    },
  );

  test('makes the next request the anchor from the moment the first is removed', () => {
    const vector = golden.prefill_decay[0];
    const [first, second] = (vector.active as { tokens: number; duration_s: number }[]).map((active) =>
      prefill(active.tokens, active.duration_s),
    );
    const backlog = new PrefillBacklog();
    backlog.add(first!, 0);
    backlog.add(second!, 1000 * vector.active[1].added_at);
    backlog.remove(first!, 310_000);
    expect(backlog.tokensLeft(310_000)).toBe(vector.at_310);
    expect(backlog.tokensLeft(330_000)).toBe(vector.at_330);
  });

  test('moves the anchor forward by a later request that finished first, not past now', () => {
    const backlog = new PrefillBacklog();
    const [first, second] = [prefill(1000, 10), prefill(500, 5)];
    backlog.add(first, 0);
    backlog.add(second, 0);
    backlog.remove(second, 2000);
    expect(backlog.tokensLeft(2000)).toBe(1000);
    expect(backlog.tokensLeft(4500)).toBe(750);
  });

  test('shrinks nothing while its anchor has no duration', () => {
    const backlog = new PrefillBacklog();
    backlog.add(prefill(100, null), 0);
    backlog.add(prefill(50, 1), 0);
    expect(backlog.tokensLeft(10_000)).toBe(150);
  });
});
