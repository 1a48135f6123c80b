import type { ParsedExposition, ParsedSample } from '../prometheus-text/exposition.ts';

/** What one data-parallel rank of an engine tells of itself; undefined is unknown. */
export interface EngineLoad {
  readonly rank: number;
  readonly running: number | undefined;
  readonly waiting: number | undefined;
  /** Ratio 0..1. */
  readonly kvUsage: number | undefined;
  readonly usedBlocks: number | undefined;
  readonly totalBlocks: number | undefined;
  /** In tokens. */
  readonly blockSize: number | undefined;
  readonly usedTokens: number | undefined;
  readonly totalTokens: number | undefined;
  /** Tokens found in the prefix cache and looked up in it since the start. */
  readonly prefixHits: number | undefined;
  readonly prefixQueries: number | undefined;
  /** Ratio 0..1: of the counts above, or as the engine has it. */
  readonly hitRate: number | undefined;
  /** Tokens per second. */
  readonly genThroughput: number | undefined;
}

type Figure = Exclude<keyof EngineLoad, 'rank'>;
type Figures = { [F in Figure]?: number | undefined };

/** Names of each figure, the preferred first; counters are written without `_total`. */
const NAMES: Readonly<Record<Figure, readonly string[]>> = {
  running: [
    'vllm:num_requests_running',
    'sglang:num_running_reqs',
    'trtllm_num_requests_running',
    'trtllm:num_requests_running',
    'llamacpp:requests_processing',
  ],
  waiting: [
    'vllm:num_requests_waiting',
    'sglang:num_queue_reqs',
    'trtllm_num_requests_waiting',
    'trtllm:num_requests_waiting',
    'llamacpp:requests_deferred',
  ],
  kvUsage: [
    'vllm:kv_cache_usage_perc',
    'vllm:gpu_cache_usage_perc',
    'sglang:token_usage',
    'trtllm_kv_cache_utilization',
    'trtllm:kv_cache_utilization',
    'llamacpp:kv_cache_usage_ratio',
  ],
  usedBlocks: ['trtllm_kv_cache_used_blocks', 'trtllm:kv_cache_used_blocks'],
  totalBlocks: ['sglang:num_pages', 'trtllm_kv_cache_max_blocks', 'trtllm:kv_cache_max_blocks'],
  blockSize: ['sglang:page_size', 'trtllm_kv_cache_tokens_per_block', 'trtllm:kv_cache_tokens_per_block'],
  usedTokens: ['sglang:num_used_tokens', 'sglang:kv_used_tokens'],
  totalTokens: ['sglang:max_total_num_tokens'],
  prefixHits: ['vllm:prefix_cache_hits', 'vllm:gpu_prefix_cache_hits'],
  prefixQueries: ['vllm:prefix_cache_queries', 'vllm:gpu_prefix_cache_queries'],
  hitRate: [
    'sglang:cache_hit_rate',
    'trtllm_kv_cache_hit_rate',
    'trtllm:kv_cache_hit_rate',
    'vllm:gpu_prefix_cache_hit_rate',
  ],
  genThroughput: ['sglang:gen_throughput'],
};
const CACHE_CONFIG = 'vllm:cache_config_info';
/** Tokens of prompts by `mode`: all that came in, and those found on the device, in memory or in storage. */
const SGLANG_PREFILL = 'sglang:prefill_effective_tokens';
const RANK_LABELS = ['engine', 'dp_rank'] as const;
const MAX_RANK = 4096;

/** The loads of all ranks, by rank; none if the text is of no known engine. */
export function readEngineLoads(exposition: ParsedExposition): EngineLoad[] {
  const figures = new Map<number, Figures>();
  const leaders = leadersOf(exposition);
  const of = (sample: ParsedSample): Figures | undefined => {
    const rank = rankOf(sample.labels);
    if (rank === undefined || !speaksFor(rank, sample.labels, leaders)) return undefined;
    if (!figures.has(rank)) figures.set(rank, {});
    return figures.get(rank);
  };
  for (const [figure, names] of Object.entries(NAMES) as [Figure, readonly string[]][]) {
    for (const name of names) {
      for (const sample of samplesOf(exposition, name)) {
        const known = of(sample);
        if (known !== undefined && Number.isFinite(sample.value)) known[figure] ??= sample.value;
      }
    }
  }
  for (const sample of samplesOf(exposition, SGLANG_PREFILL)) {
    const known = of(sample);
    if (known === undefined || !Number.isFinite(sample.value)) continue;
    if (sample.labels.mode === 'input') known.prefixQueries = sample.value;
    else if (sample.labels.mode?.endsWith('_hit')) known.prefixHits = (known.prefixHits ?? 0) + sample.value;
  }
  for (const sample of samplesOf(exposition, CACHE_CONFIG)) {
    const known = of(sample);
    if (known === undefined) continue;
    known.blockSize ??= count(sample.labels.block_size);
    known.totalBlocks ??= count(sample.labels.num_gpu_blocks);
  }
  return [...figures].sort(([a], [b]) => a - b).map(([rank, known]) => complete(rank, known));
}

/** All ranks as one engine: counts are summed, ratios weighted by blocks where these are known. */
export function totalLoad(loads: readonly EngineLoad[]): EngineLoad {
  const prefixHits = sum(loads, 'prefixHits');
  const prefixQueries = sum(loads, 'prefixQueries');
  return {
    rank: 0,
    running: sum(loads, 'running'),
    waiting: sum(loads, 'waiting'),
    kvUsage: weighted(loads, 'kvUsage'),
    usedBlocks: sum(loads, 'usedBlocks'),
    totalBlocks: sum(loads, 'totalBlocks'),
    blockSize: loads[0]?.blockSize,
    usedTokens: sum(loads, 'usedTokens'),
    totalTokens: sum(loads, 'totalTokens'),
    prefixHits,
    prefixQueries,
    hitRate: share(prefixHits, prefixQueries) ?? weighted(loads, 'hitRate'),
    genThroughput: sum(loads, 'genThroughput'),
  };
}

/** What follows from the figures that were told. */
function complete(rank: number, known: Figures): EngineLoad {
  const { kvUsage, blockSize, totalTokens, usedTokens, prefixHits, prefixQueries } = known;
  const totalBlocks = known.totalBlocks ?? whole(divided(totalTokens, blockSize));
  const usedBlocks =
    known.usedBlocks ??
    whole(divided(usedTokens, blockSize)) ??
    (kvUsage === undefined || totalBlocks === undefined ? undefined : Math.round(kvUsage * totalBlocks));
  return {
    rank,
    running: known.running,
    waiting: known.waiting,
    kvUsage: kvUsage ?? share(usedBlocks, totalBlocks),
    usedBlocks,
    totalBlocks,
    blockSize,
    usedTokens,
    totalTokens,
    prefixHits,
    prefixQueries,
    hitRate: share(prefixHits, prefixQueries) ?? known.hitRate,
    genThroughput: known.genThroughput,
  };
}

/** A family under its name or with `_total`, as old and new clients of Prometheus write counters. */
function samplesOf({ families }: ParsedExposition, name: string): readonly ParsedSample[] {
  const family = families.get(name) ?? families.get(`${name}_total`);
  return family?.samples.filter((sample) => sample.name === name || sample.name === `${name}_total`) ?? [];
}

type Labels = ParsedSample['labels'];

/**
 * Of each data-parallel rank, the lowest of its tensor-parallel ranks: with attention in parallel, SGLang counts these
 * through all data-parallel ones.
 */
function leadersOf(exposition: ParsedExposition): ReadonlyMap<number, number> {
  const leaders = new Map<number, number>();
  for (const name of [...Object.values(NAMES).flat(), SGLANG_PREFILL])
    for (const { labels } of samplesOf(exposition, name)) {
      const rank = rankOf(labels);
      if (rank === undefined) continue;
      leaders.set(rank, Math.min(leaders.get(rank) ?? Number.POSITIVE_INFINITY, tensorRank(labels)));
    }
  return leaders;
}

/** Not so the followers of a parallel group, which repeat what its first says, and the shares of single priorities. */
function speaksFor(rank: number, labels: Labels, leaders: ReadonlyMap<number, number>): boolean {
  if ((labels.pp_rank ?? '0') !== '0' || (labels.priority ?? '') !== '') return false;
  return tensorRank(labels) === (leaders.get(rank) ?? 0);
}

function tensorRank({ tp_rank = '0' }: Labels): number {
  return /^\d+$/.test(tp_rank) ? Number(tp_rank) : 0;
}

function rankOf(labels: Labels): number | undefined {
  const text = RANK_LABELS.map((label) => labels[label]).find((value) => value !== undefined);
  const rank = /^\d+$/.test(text ?? '') ? Number(text) : 0;
  return rank <= MAX_RANK ? rank : undefined;
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) && text !== '0' ? Number(text) : undefined;
}

function divided(value: number | undefined, by: number | undefined): number | undefined {
  return value === undefined || !by ? undefined : value / by;
}

function whole(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value);
}

function share(part: number | undefined, of: number | undefined): number | undefined {
  return part === undefined || !of ? undefined : part / of;
}

function sum(loads: readonly EngineLoad[], figure: Figure): number | undefined {
  const known = loads.map((load) => load[figure]).filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0);
}

function weighted(loads: readonly EngineLoad[], figure: Figure): number | undefined {
  const known = loads.filter((load) => load[figure] !== undefined);
  const weights = known.map((load) => load.totalBlocks ?? 1);
  const total = weights.reduce((all, weight) => all + weight, 0);
  if (total === 0) return undefined;
  return known.reduce((mean, load, i) => mean + (load[figure]! * weights[i]!) / total, 0);
}
