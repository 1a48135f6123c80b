import { fail } from '../../base/errors.ts';
import { type Random, SeededRandom } from '../../base/random.ts';
import type { Trace, TraceRow } from '../../formats/traces/trace.ts';
import { weightedIndex } from '../../math/distributions.ts';
import { nodeIds, prefixTree, type TreeNode } from './prefix-tree.ts';

export interface SynthesisOptions {
  readonly requests: number;
  readonly seed?: number | undefined;
  /** Divides the gaps between arrivals. */
  readonly speedup?: number | undefined;
  readonly prefixLengthMultiplier?: number | undefined;
  /** Copies of the tree that do not share: each request takes a random one. */
  readonly prefixRootMultiplier?: number | undefined;
  readonly promptLengthMultiplier?: number | undefined;
  readonly outputLengthMultiplier?: number | undefined;
  readonly maxIsl?: number | undefined;
  readonly minIsl?: number | undefined;
  readonly maxOsl?: number | undefined;
  readonly minOsl?: number | undefined;
}

/** A row of a synthetic trace, with what it shares and what is its own. */
export interface SyntheticRow extends TraceRow {
  readonly contextLength: number;
}

/** One generator per dimension: drawing one more length never shifts the arrivals. */
const STREAM = { walk: 1, leaf: 2, tail: 3, output: 4, group: 5, gap: 6, copy: 7 } as const;

const OUTPUT_BUCKETS = 10;
const PILOT_ROWS = 4000;

/**
 * A trace like the given one: prefixes are walked in the tree of the source with its transition frequencies, leaves,
 * arrivals and group sizes drawn from its distributions. Output lengths are drawn from source rows of the same tenth by
 * input length, so that both stay correlated and the distribution of outputs is kept. Rows outside the length limits are drawn again: the rate stays.
 */
export function synthesize(source: Trace, options: SynthesisOptions): readonly SyntheticRow[] {
  const { seed = 0, speedup = 1 } = options;
  const maker = new RowMaker(source, options, inputTenths(source, { ...options, seed: seed + 1 }));
  const sizes = groupSizes(source.rows);
  const gaps = arrivalGaps(source.rows);
  const groupDraw = new SeededRandom(seed, STREAM.group);
  const gapDraw = new SeededRandom(seed, STREAM.gap);
  const rows: SyntheticRow[] = [];
  let clockMs = 0;
  while (rows.length < options.requests) {
    const size = pick(sizes, groupDraw);
    for (let i = 0; i < size && rows.length < options.requests; i++) {
      rows.push(maker.make(rows.length + 1, clockMs));
    }
    clockMs += Math.round(pick(gaps, gapDraw) / speedup);
  }
  return rows;
}

/** Upper ends of the tenths of synthetic input lengths, from a pilot sample: they differ from those of the source. */
function inputTenths(source: Trace, options: SynthesisOptions): readonly number[] {
  const pilot = new RowMaker(source, options, [Number.POSITIVE_INFINITY]);
  const lengths = Array.from({ length: PILOT_ROWS }, () => pilot.make(0, 0).inputLength).sort(
    (a, b) => a - b,
  );
  return Array.from(
    { length: OUTPUT_BUCKETS },
    (_, i) => lengths[Math.ceil(((i + 1) * PILOT_ROWS) / OUTPUT_BUCKETS) - 1]!,
  );
}

/** Draws the contents of rows; owns the generators and the count of fresh ids. */
class RowMaker {
  readonly #options: SynthesisOptions;
  readonly #blockSize: number;
  readonly #tree: ReturnType<typeof prefixTree>;
  readonly #draws: Readonly<Record<'walk' | 'leaf' | 'tail' | 'output' | 'copy', Random>>;
  readonly #tails: readonly number[];
  readonly #outputs: readonly (readonly number[])[];
  readonly #inputTenths: readonly number[];
  #nextId: number;

  constructor(source: Trace, options: SynthesisOptions, inputTenths: readonly number[]) {
    const rows = source.rows.filter((row) => row.hashIds !== undefined && row.hashIds.length > 0);
    if (rows.length === 0) {
      throw fail('KV_USAGE', {
        reason: 'the trace has no hash ids',
        mend: 'Synthesis needs a trace with prefix data.',
      });
    }
    const { seed = 0, prefixRootMultiplier = 1 } = options;
    this.#options = options;
    this.#blockSize = source.blockSize;
    this.#tree = prefixTree(rows, {
      prefixLength: options.prefixLengthMultiplier,
      leafLength: options.promptLengthMultiplier,
    });
    const stream = (name: keyof typeof STREAM): Random => new SeededRandom(seed, STREAM[name]);
    this.#draws = {
      walk: stream('walk'),
      leaf: stream('leaf'),
      tail: stream('tail'),
      output: stream('output'),
      copy: stream('copy'),
    };
    this.#tails = rows.map((row) => row.inputLength - (row.hashIds!.length - 1) * source.blockSize);
    const byInput = [...rows].sort((a, b) => a.inputLength - b.inputLength).map((row) => row.outputLength);
    const tenth = (i: number): number => Math.floor((i * byInput.length) / inputTenths.length);
    this.#outputs = inputTenths.map((_, i) => byInput.slice(tenth(i), Math.max(tenth(i) + 1, tenth(i + 1))));
    this.#inputTenths = inputTenths;
    this.#nextId = (this.#tree.maxId + 1) * prefixRootMultiplier;
  }

  make(line: number, timestampMs: number): SyntheticRow {
    // Limits that nothing can meet must not hang: after many misses the last draw is clipped by what it is.
    for (let attempt = 1; ; attempt++) {
      const prompt = this.#prompt();
      const { maxIsl = Number.POSITIVE_INFINITY, minIsl = 0 } = this.#options;
      if (prompt.inputLength <= maxIsl && prompt.inputLength >= minIsl) {
        return { line, timestampMs, outputLength: this.#outputLength(prompt.inputLength), ...prompt };
      }
      if (attempt === 10_000) {
        throw fail('KV_USAGE', {
          reason: `no input length between ${minIsl} and ${maxIsl} in ${attempt} draws`,
          mend: 'Widen --min-isl and --max-isl.',
        });
      }
    }
  }

  #prompt(): Pick<SyntheticRow, 'hashIds' | 'inputLength' | 'contextLength'> {
    const { walk, copy, leaf, tail } = this.#draws;
    const copies = this.#options.prefixRootMultiplier ?? 1;
    const offset = copy.nextInt(copies) * (this.#tree.maxId + 1);
    const hashIds: number[] = [];
    let node: TreeNode = this.#tree.root;
    let hasLeaf = false;
    for (;;) {
      const weights = [...node.children.map((child) => child.visits), node.toLeaf, node.ends];
      const choice = weightedIndex(walk, weights) ?? weights.length - 1;
      const child = node.children[choice];
      if (child === undefined) {
        hasLeaf = choice === node.children.length;
        break;
      }
      for (const id of nodeIds(child)) hashIds.push(id + offset);
      node = child;
    }
    const contextLength = hashIds.length * this.#blockSize;
    if (!hasLeaf) return { hashIds, inputLength: contextLength, contextLength };
    const length = pick(this.#tree.leafLengths, leaf);
    for (let i = 0; i < length; i++) hashIds.push(this.#nextId++);
    const inputLength = (hashIds.length - 1) * this.#blockSize + pick(this.#tails, tail);
    return { hashIds, inputLength, contextLength };
  }

  #outputLength(inputLength: number): number {
    const { outputLengthMultiplier = 1, minOsl = 1, maxOsl = Number.POSITIVE_INFINITY } = this.#options;
    const found = this.#inputTenths.findIndex((edge) => inputLength <= edge);
    const bucket = this.#outputs[found < 0 ? this.#outputs.length - 1 : found]!;
    const length = Math.trunc(pick(bucket, this.#draws.output) * outputLengthMultiplier);
    return Math.min(maxOsl, Math.max(minOsl, length));
  }
}

function pick(values: readonly number[], random: Random): number {
  return values[random.nextInt(values.length)]!;
}

/** Numbers of requests that arrive at one instant. */
function groupSizes(rows: readonly TraceRow[]): readonly number[] {
  const counts = new Map<number, number>();
  for (const { timestampMs = 0 } of rows) counts.set(timestampMs, (counts.get(timestampMs) ?? 0) + 1);
  return [...counts.values()];
}

function arrivalGaps(rows: readonly TraceRow[]): readonly number[] {
  const times = [...new Set(rows.flatMap((row) => row.timestampMs ?? []))].sort((a, b) => a - b);
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  return gaps.length === 0 ? [0] : gaps;
}
