import type { Clock } from '../base/clock.ts';
import { type Log, SILENT_LOG } from '../base/log.ts';
import type { BucketOverrides } from './buckets.ts';
import type { Counter } from './counter.ts';
import { type ExpositionFormat, OPENMETRICS_FORMAT, TEXT_FORMAT, writeFamily } from './exposition-format.ts';
import { ExpositionWriter } from './exposition-writer.ts';
import type { Family } from './family.ts';
import { MetricsNode } from './hierarchy.ts';
import type { ConstantLabels } from './labels.ts';
import { SELF } from './names/kvasir.ts';
import { PROCESS } from './names/worker.ts';
import { type MetricsVersion, Registry, type RegistryRules } from './registry.ts';
import { type FamilyGroup, mergeFamilies, type ScrapeProblem } from './scrape.ts';
import { withoutFamilies } from './text-source.ts';

/** The answer to a scrape. */
export interface Exposition {
  readonly contentType: string;
  /** UTF-8. */
  readonly body: Buffer;
}

/** Text of someone else (an engine's own metrics) to append, already in the asked format, without `# EOF`. */
export type TextSource = (format: ExpositionFormat['name']) => string | Promise<string>;

export interface ProcessMetricsOptions {
  readonly clock: Clock;
  readonly log?: Log;
  readonly version?: MetricsVersion;
  /** u64 id of this process in discovery; its `worker_id` in hexadecimal, its `router_id` in decimal. */
  readonly instanceId: string | bigint;
  /** Serve OpenMetrics to scrapers that ask for it. Their `le` differ, so one job must not mix both. */
  readonly openMetrics?: boolean;
  readonly bucketOverrides?: BucketOverrides;
  readonly maxSeries?: number;
  /** Constant labels of the HTTP service's families, such as a `dynamo_namespace` for the planner. */
  readonly serviceLabels?: ConstantLabels;
}

/** Bytes after which a scrape lets other work run. */
const SLICE_BYTES = 1 << 20;
/** Room for what is new since the scrape before. */
const SPARE_BYTES = 1 << 14;

/** All metrics of one process: the HTTP service's registry, the hierarchy, and how both become text. */
export class ProcessMetrics {
  readonly version: MetricsVersion;
  readonly instanceId: bigint;
  readonly openMetrics: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Families without hierarchy labels; exposed before the rest. */
  readonly service: Registry;
  readonly root: MetricsNode;
  readonly #self: Registry;
  readonly #problems: Family<'reason', Counter>;
  readonly #dropped: Family<'family', Counter>;
  readonly #refused: Family<'family', Counter>;
  readonly #attached = new Set<Registry>();
  readonly #callbacks = new Set<() => void | Promise<void>>();
  readonly #sources = new Set<TextSource>();
  readonly #logged = new Set<string>();
  #lastBytes = SPARE_BYTES;

  constructor(options: ProcessMetricsOptions) {
    this.clock = options.clock;
    this.log = options.log ?? SILENT_LOG;
    this.version = options.version ?? 'current';
    this.instanceId = BigInt(options.instanceId);
    this.openMetrics = options.openMetrics ?? false;
    const rules: Partial<RegistryRules> = {
      version: this.version,
      bucketOverrides: options.bucketOverrides ?? {},
      warn: (reason) => this.log.warn({ reason }, 'metrics setting ignored'),
      ...(options.maxSeries === undefined ? {} : { maxSeries: options.maxSeries }),
    };
    this.service = new Registry(rules, options.serviceLabels);
    this.root = MetricsNode.process(
      rules,
      this.version === '1.0.2' ? undefined : this.instanceId.toString(16),
    );
    this.#self = new Registry(rules);
    this.#problems = this.#self.counter(SELF.problemsTotal);
    this.#dropped = this.#self.counter(SELF.droppedValuesTotal);
    this.#refused = this.#self.counter(SELF.refusedSeriesTotal);
    const uptime = this.root.registry.gauge(PROCESS.uptimeSeconds).with();
    const startedMs = this.clock.nowMs();
    this.onScrape(() => uptime.set((this.clock.nowMs() - startedMs) / 1000));
  }

  /** Runs before every scrape, to refresh what is not pushed; returns how to stop. */
  onScrape(callback: () => void | Promise<void>): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  /** Appends someone else's text to every scrape; returns how to stop. */
  appendText(source: TextSource): () => void {
    this.#sources.add(source);
    return () => void this.#sources.delete(source);
  }

  /** Exposes a further registry with labels of its own, after the hierarchy's; returns how to stop. */
  attach(registry: Registry): () => void {
    this.#attached.add(registry);
    return () => void this.#attached.delete(registry);
  }

  /**
   * Everything as text, in the format that the scraper's `Accept` header asks for. Never rejects: what fails is left
   * out, logged once and counted.
   */
  async scrape(accept?: string): Promise<Exposition> {
    const asked = this.openMetrics && accept?.includes('application/openmetrics-text');
    const format = asked === true ? OPENMETRICS_FORMAT : TEXT_FORMAT;
    for (const callback of this.#callbacks) await this.#attempt('callback_failed', 'callback', callback);
    const groups = this.#groups();
    const writer = new ExpositionWriter(this.#lastBytes);
    await this.#render(writer, groups, format);
    const names = new Set(groups.map(({ name }) => name));
    for (const source of this.#sources) {
      const text = await this.#attempt('text_source_failed', 'source', () => source(format.name));
      if (text !== undefined) writer.text(this.#appendable(text, names));
    }
    writer.text(format.end);
    this.#lastBytes = writer.length + SPARE_BYTES;
    return { contentType: format.contentType, body: writer.take() };
  }

  /** Service families first, then the hierarchy's, each sorted by name; a name in both belongs to the first. */
  #groups(): FamilyGroup[] {
    const service = this.service.families;
    const taken = new Set(service.map(({ spec }) => spec.name));
    const registries = [...this.root.registries(), ...this.#attached];
    const runtime = registries.flatMap(({ families }) => families);
    this.#countRefusals([...service, ...runtime]);
    const report = (reason: ScrapeProblem, subject: string) => this.#report(reason, subject);
    const shared = runtime.filter(({ spec }) => taken.has(spec.name));
    const own = runtime.filter(({ spec }) => !taken.has(spec.name));
    return [
      ...mergeFamilies([...service, ...shared], report),
      ...mergeFamilies([...own, ...this.#self.families], report),
    ];
  }

  async #render(
    writer: ExpositionWriter,
    groups: readonly FamilyGroup[],
    format: ExpositionFormat,
  ): Promise<void> {
    let sliceEnd = SLICE_BYTES;
    for (const group of groups) {
      const start = writer.length;
      try {
        writeFamily(writer, group, format);
      } catch (cause) {
        writer.truncate(start);
        this.#report('render_failed', group.name, cause);
      }
      if (writer.length < sliceEnd) continue;
      sliceEnd = writer.length + SLICE_BYTES;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #appendable(text: string, names: ReadonlySet<string>): string {
    const kept = withoutFamilies(text, names, (name) => this.#report('text_family_collision', name));
    return kept === '' || kept.endsWith('\n') ? kept : `${kept}\n`;
  }

  #countRefusals(families: readonly Family[]): void {
    for (const { spec, ledger, overflowed } of families) {
      raise(this.#dropped, spec.name, ledger.dropped);
      raise(this.#refused, spec.name, overflowed);
    }
  }

  async #attempt<T>(
    reason: ScrapeProblem,
    subject: string,
    work: () => T | Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await work();
    } catch (cause) {
      this.#report(reason, subject, cause);
      return undefined;
    }
  }

  #report(reason: ScrapeProblem, subject: string, cause?: unknown): void {
    this.#problems.with({ reason }).inc();
    if (this.#logged.size >= 1000 || this.#logged.has(`${reason}/${subject}`)) return;
    this.#logged.add(`${reason}/${subject}`);
    this.log.warn(
      { reason, subject, ...(cause === undefined ? {} : { err: cause }) },
      'metrics exposition mended',
    );
  }
}

/** Brings a counter up to a total that is kept elsewhere; a family without trouble gets no series. */
function raise(family: Family<'family', Counter>, name: string, total: number): void {
  if (total === 0) return;
  const counter = family.with({ family: name });
  counter.inc(total - counter.value);
}
