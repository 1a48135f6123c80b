import { type BaseMetrics, BaseMetricsCollector } from './analysis/base-metrics.ts';
import { type CacheWhatIf, CacheWhatIfCollector } from './analysis/cache-what-if.ts';
import { CallSequenceCollector, chainPrefixes, renameTokens } from './analysis/call-sequences.ts';
import { cutCodePoints } from './analysis/column.ts';
import { type ConcurrencySpikes, SpikeCollector } from './analysis/concurrency-spikes.ts';
import type { Percentiles } from './analysis/confidence.ts';
import { ForecastCollector, type ForecastModel } from './analysis/forecast.ts';
import { MovedTextCollector } from './analysis/moved-text.ts';
import { type NestedStack, NestedStackCollector } from './analysis/nested-stack.ts';
import { type CallPattern, PrefixSpan } from './analysis/prefix-span.ts';
import { type ModelPrefixes, PromptPrefixCollector } from './analysis/prompt-prefixes.ts';
import { type Recommendation, recommend } from './analysis/recommendations.ts';
import { type OperationStats, SimpleStackCollector } from './analysis/simple-stack.ts';
import { type TokenTiming, TokenTimingCollector } from './analysis/token-timing.ts';
import { TokenUniquenessCollector } from './analysis/token-uniqueness.ts';
import { WasteCollector } from './analysis/waste.ts';
import { absoluteSupport, type Compat, type ProfilerConfig } from './config.ts';
import type { Trace } from './input/event.ts';
import { withFoundStarts } from './input/found-starts.ts';
import { TrieCollector } from './trie/prediction-trie.ts';
import { roundHalfEven } from './trie/sensitivity.ts';
import type { TrieNode } from './trie/trie-node.ts';

/** What Kvasir finds beyond the reference. */
export interface Extras {
  readonly timing: {
    readonly by_model: Readonly<Record<string, TokenTiming>>;
    readonly by_function: Readonly<Record<string, TokenTiming>>;
  };
  readonly cache: CacheWhatIf;
  readonly recommendations: readonly Recommendation[];
  readonly prefixes: PromptPrefixCollector;
}

/** The results of all analyses that the configuration switches on; the others are undefined. */
export interface Profile {
  readonly requests: number;
  readonly events: number;
  readonly base: BaseMetrics;
  readonly workflowRuntimes: Percentiles | undefined;
  readonly commonPrefixes: Readonly<Record<string, ModelPrefixes>> | undefined;
  readonly tokenUniqueness: Readonly<Record<string, Percentiles>> | undefined;
  readonly simpleStack:
    | { readonly stats: readonly OperationStats[]; readonly maxConcurrency: number }
    | undefined;
  readonly nestedStack: NestedStack | undefined;
  readonly spikes: ConcurrencySpikes | undefined;
  readonly patterns: readonly CallPattern[] | undefined;
  readonly trie: TrieNode | undefined;
  readonly forecast: ForecastModel | undefined;
  /** The reference returns nothing to its caller when its forecast cannot be trained. */
  readonly resultsWithheld: boolean;
  readonly extras: Extras | undefined;
  /** What was left out or is doubtful, in words. */
  readonly warnings: readonly string[];
}

const CACHE_SIZES = [1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000];
const MAX_CALL_INDEX = 1000;

/** Runs every configured analysis in one pass: feed traces in order with {@link add}, then {@link finish} once. */
export class AgentProfiler {
  readonly #config: ProfilerConfig;
  readonly #nat: boolean;
  readonly #base: BaseMetricsCollector;
  readonly #prefixes: PromptPrefixCollector | undefined;
  readonly #extraPrefixes: PromptPrefixCollector | undefined;
  readonly #uniqueness: TokenUniquenessCollector | undefined;
  readonly #simple: SimpleStackCollector | undefined;
  readonly #nested: NestedStackCollector | undefined;
  readonly #spikes: SpikeCollector | undefined;
  readonly #sequences: CallSequenceCollector | undefined;
  readonly #trie: TrieCollector | undefined;
  readonly #forecast: ForecastCollector | undefined;
  readonly #timing: TokenTimingCollector | undefined;
  readonly #cache: CacheWhatIfCollector | undefined;
  readonly #waste: WasteCollector | undefined;
  readonly #moved: MovedTextCollector | undefined;
  #requests = 0;
  #events = 0;

  constructor(config: ProfilerConfig, compat: Compat) {
    const nat = compat === 'nat';
    const rule = nat ? 'stack' : 'parent-links';
    const rows = nat ? 'all-rows' : 'starts';
    const span = config.prefix_span_analysis;
    const maxTextLength = chains(config, nat) ? Number.POSITIVE_INFINITY : span.max_text_len;
    this.#config = config;
    this.#nat = nat;
    this.#base = new BaseMetricsCollector(nat ? 'last-start' : 'uuid');
    this.#prefixes = config.prompt_caching_prefixes.enable ? new PromptPrefixCollector(rows) : undefined;
    this.#extraPrefixes = nat ? undefined : (this.#prefixes ?? new PromptPrefixCollector(rows));
    this.#uniqueness = config.token_uniqueness_forecast ? new TokenUniquenessCollector() : undefined;
    this.#simple = config.bottleneck_analysis.enable_simple_stack
      ? new SimpleStackCollector(nat ? 'file' : 'request')
      : undefined;
    this.#nested = config.bottleneck_analysis.enable_nested_stack
      ? new NestedStackCollector(rule)
      : undefined;
    this.#spikes = config.concurrency_spike_analysis.enable ? new SpikeCollector(rule) : undefined;
    this.#sequences = span.enable ? new CallSequenceCollector({ withText: !nat, maxTextLength }) : undefined;
    this.#trie = config.prediction_trie.enable ? new TrieCollector(trieOptions(config, nat)) : undefined;
    this.#forecast = config.token_usage_forecast ? new ForecastCollector() : undefined;
    this.#timing = nat ? undefined : new TokenTimingCollector();
    this.#cache = nat ? undefined : new CacheWhatIfCollector();
    this.#waste = nat ? undefined : new WasteCollector();
    this.#moved = nat ? undefined : new MovedTextCollector();
  }

  add(given: Trace): void {
    this.#requests++;
    this.#events += given.events.length;
    const trace = this.#nat ? given : withFoundStarts(given);
    this.#base.add(trace);
    this.#prefixes?.add(trace);
    if (this.#extraPrefixes !== this.#prefixes) this.#extraPrefixes?.add(trace);
    this.#uniqueness?.add(trace);
    this.#simple?.add(trace);
    this.#nested?.add(trace);
    this.#spikes?.add(trace);
    this.#sequences?.add(trace);
    this.#trie?.add(trace);
    this.#forecast?.add(trace);
    this.#timing?.add(trace);
    this.#cache?.add(trace);
    this.#waste?.add(trace);
    this.#moved?.add(trace);
  }

  finish(): Profile {
    const config = this.#config;
    const base = this.#base.finish();
    const commonPrefixes = this.#prefixes?.finish(config.prompt_caching_prefixes.min_frequency);
    const spikes = this.#spikes?.finish(config.concurrency_spike_analysis.spike_threshold);
    const withheld = this.#nat && this.#forecast?.fault !== undefined;
    return {
      requests: this.#requests,
      events: this.#events,
      base,
      workflowRuntimes:
        config.base_metrics || config.workflow_runtime_forecast ? base.runTimePercentiles : undefined,
      commonPrefixes,
      tokenUniqueness: this.#uniqueness?.finish(),
      simpleStack: this.#simple && {
        stats: this.#simple.finish(),
        maxConcurrency: this.#simple.overallMaxConcurrency(),
      },
      nestedStack: this.#nested?.finish(),
      spikes,
      patterns: this.#minePatterns(commonPrefixes),
      trie: this.#trie?.finish(),
      forecast: withheld ? undefined : this.#forecast?.finish(),
      resultsWithheld: withheld,
      extras: this.#extras(spikes),
      warnings: this.#warnings(),
    };
  }

  #minePatterns(
    prefixes: Readonly<Record<string, ModelPrefixes>> | undefined,
  ): readonly CallPattern[] | undefined {
    if (this.#sequences === undefined) return undefined;
    const {
      min_support: written,
      min_coverage: minCoverage,
      top_k: topK,
      max_text_len: limit,
    } = this.#config.prefix_span_analysis;
    let sequences = this.#sequences.finish();
    if (chains(this.#config, this.#nat)) {
      const known = Object.values(prefixes ?? {}).flatMap(({ prefix_info: info }) =>
        info.map(({ prefix }) => prefix.replaceAll('\n', ' ')),
      );
      sequences = renameTokens(sequences, (name) => {
        const bar = name.startsWith('LLM:') ? name.indexOf('|') : -1;
        if (bar < 0) return name;
        return name.slice(0, bar + 1) + cutCodePoints(chainPrefixes(name.slice(bar + 1), known), limit);
      });
    }
    const minSupport = absoluteSupport(
      written,
      sequences.requests.length,
      this.#nat ? 'nat' : 'kvasir',
      roundHalfEven,
    );
    return new PrefixSpan(sequences, { minSupport, minCoverage, topK }).mine();
  }

  #extras(spikes: ConcurrencySpikes | undefined): Extras | undefined {
    if (!this.#timing || !this.#cache || !this.#waste || !this.#moved) return undefined;
    const timing = this.#timing.finish();
    const cache = this.#cache.finish(CACHE_SIZES);
    const findings = {
      requests: this.#requests,
      waste: this.#waste.finish(),
      cache,
      moved: this.#moved.finish(),
      timing,
      spikes: spikes?.summary,
    };
    return { timing, cache, recommendations: recommend(findings), prefixes: this.#extraPrefixes! };
  }

  #warnings(): readonly string[] {
    const warnings: string[] = [];
    if (this.#events === 0) warnings.push('the input holds no events: all results are empty');
    const cut = [
      this.#prefixes?.isCut || this.#extraPrefixes?.isCut ? 'common prefixes' : '',
      this.#sequences?.isCut ? 'call sequences' : '',
      this.#cache?.isCut ? 'the cache what-if' : '',
    ].filter((name) => name !== '');
    if (cut.length > 0)
      warnings.push(
        `the prompts differ in more text than is kept: ${cut.join(', ')} know later prompts only by what they share with earlier ones`,
      );
    const forecast = this.#forecast;
    if (forecast?.fault !== undefined && (this.#nat || forecast.leftOut.size === 0))
      warnings.push(`the forecast cannot be trained: ${forecast.fault}`);
    else if (forecast?.fault !== undefined) {
      const causes = [...forecast.leftOut].map(([fault, requests]) => `${requests} for ${fault}`);
      warnings.push(`the forecast leaves out some of ${this.#requests} requests: ${causes.join(', ')}`);
    }
    return warnings;
  }
}

function chains(config: ProfilerConfig, nat: boolean): boolean {
  return !nat && config.prefix_span_analysis.chain_with_common_prefixes;
}

function trieOptions({ prediction_trie: trie }: ProfilerConfig, nat: boolean) {
  const sensitivity = {
    scale: trie.sensitivity_scale,
    wCritical: trie.w_critical,
    wFanout: trie.w_fanout,
    wPosition: trie.w_position,
    wParallel: trie.w_parallel,
    absolute: !nat && trie.absolute_scores,
    resolveTimes: !nat,
    slack: nat ? ('with-own-function' as const) : ('siblings-only' as const),
  };
  return {
    paths: nat ? ('two-level' as const) : ('full' as const),
    sensitivity: trie.auto_sensitivity ? sensitivity : undefined,
    maxCallIndex: nat ? Number.POSITIVE_INFINITY : MAX_CALL_INDEX,
  };
}
