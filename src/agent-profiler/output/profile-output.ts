import { join } from 'node:path';
import { completionTokens } from '../analysis/llm-columns.ts';
import type { EvaluatorOutput } from '../analysis/runtime-evaluation.ts';
import type { Compat, ProfilerConfig } from '../config.ts';
import type { Trace } from '../input/event.ts';
import type { Profile } from '../profiler.ts';
import { trieJson } from '../trie/trie-file.ts';
import { type CsvFacts, readCsvFacts } from './csv-facts.ts';
import { tableHeader, tableRows } from './flat-table.ts';
import { hintsJson } from './hints-file.ts';
import { htmlReport } from './html-report.ts';
import { hasWorkflowMetrics, inferenceOptimization, workflowMetrics } from './metrics-file.ts';
import { prefixTreeJson } from './prefix-tree.ts';
import { prometheusText } from './prometheus-text.ts';
import { StreamedFile } from './streamed-file.ts';
import { textReport } from './text-report.ts';
import { requestText } from './traces-file.ts';

const CSV = 'standardized_data_all.csv';
/** Calls listed per spike; in compat mode all of them. */
const MAX_ACTIVE = 256;

/** The output folder of one run. Traces and table are written while traces pass; nothing half-done stays behind. */
export class ProfileOutput {
  readonly #folder: string;
  readonly #config: ProfilerConfig;
  readonly #compat: Compat;
  readonly #traces: StreamedFile;
  readonly #csv: StreamedFile;
  readonly #facts: CsvFacts;
  readonly #written: string[] = [];
  #requests = 0;
  #rows = 0;

  constructor(folder: string, config: ProfilerConfig, compat: Compat) {
    this.#folder = folder;
    this.#config = config;
    this.#compat = compat;
    this.#facts = readCsvFacts(compat === 'nat' && config.compute_llm_metrics);
    this.#traces = new StreamedFile(join(folder, 'all_requests_profiler_traces.json'));
    this.#csv = new StreamedFile(join(folder, CSV));
  }

  get written(): readonly string[] {
    return this.#written;
  }

  add(trace: Trace): void {
    this.#traces.write(this.#requests++ === 0 ? '[\n' : ',\n');
    for (const piece of requestText(trace)) this.#traces.write(piece);
    this.#facts.add(trace);
    this.#writeRows(this.#csv, trace, completionTokens(trace.events), false);
  }

  /** Whether the table must be written again: columns of the reference that look across requests. */
  get needsSecondTable(): boolean {
    return (
      this.#config.compute_llm_metrics &&
      (this.#facts.crossesRequests || (this.#facts.noLlmStarts && this.#rows > 0))
    );
  }

  /** Writes the table anew from a second reading of the traces. */
  async rewriteTable(traces: AsyncIterable<Trace> | Iterable<Trace>): Promise<void> {
    this.#csv.abandon();
    const again = new StreamedFile(join(this.#folder, CSV));
    this.#rows = 0;
    try {
      for await (const trace of traces)
        this.#writeRows(
          again,
          trace,
          this.#facts.oslByUuid ?? completionTokens(trace.events),
          this.#facts.noLlmStarts,
        );
      this.#close(again);
    } catch (thrown) {
      again.abandon();
      throw thrown;
    }
  }

  /** Puts every file in its place. `png` is the chart of {@link ganttChart}, rasterised by the caller. */
  finish(
    profile: Profile,
    more: {
      readonly generatedAt: Date;
      readonly dynamoMetrics?: unknown;
      readonly png?: Uint8Array | undefined;
      readonly evaluations?: Readonly<Record<string, EvaluatorOutput>>;
    },
  ): void {
    this.#traces.write(this.#requests === 0 ? '[]' : '\n]');
    this.#close(this.#traces);
    if (this.#rows === 0 && this.#csv.isOpen) this.#csv.write('\n');
    if (this.#csv.isOpen) this.#close(this.#csv);
    this.#json('inference_optimization.json', inferenceOptimization(profile, more.dynamoMetrics));
    if (hasWorkflowMetrics(profile)) {
      this.#pieces(
        'workflow_profiling_metrics.json',
        workflowMetrics(profile, this.#compat === 'nat' ? Number.POSITIVE_INFINITY : MAX_ACTIVE),
      );
      this.#pieces('workflow_profiling_report.txt', [textReport(profile)]);
    }
    if (profile.trie !== undefined) {
      const version = this.#compat === 'nat' ? '1.0' : '1.1';
      this.#json(
        this.#config.prediction_trie.output_filename,
        trieJson(profile.trie, version, more.generatedAt),
      );
    }
    if (profile.forecast !== undefined) this.#json('fitted_model.json', profile.forecast);
    for (const [name, evaluation] of Object.entries(more.evaluations ?? {}))
      this.#json(`${name}_output.json`, evaluation);
    if (more.png !== undefined) this.#pieces('gantt_chart.png', [more.png]);
    if (profile.extras !== undefined) this.#extras(profile, profile.extras, more.generatedAt);
  }

  /** Removes what is not finished. */
  abandon(): void {
    this.#traces.abandon();
    this.#csv.abandon();
  }

  #extras(profile: Profile, extras: NonNullable<Profile['extras']>, generatedAt: Date): void {
    const prefixes = prefixTreeJson(extras.prefixes);
    const { timing, cache, recommendations } = extras;
    this.#json('kvasir_profile.json', {
      requests: profile.requests,
      events: profile.events,
      warnings: profile.warnings,
      recommendations,
      token_timing: timing,
      prefix_cache: cache,
      prefix_tree: prefixes,
    });
    if (profile.trie !== undefined) this.#json('request_hints.json', hintsJson(profile.trie));
    this.#pieces('agent_metrics.prom', [prometheusText(profile)]);
    this.#pieces('report.html', [htmlReport(profile, prefixes, generatedAt)]);
  }

  #writeRows(
    file: StreamedFile,
    trace: Trace,
    oslByUuid: ReadonlyMap<string, number>,
    noLlmStarts: boolean,
  ): void {
    const { compute_llm_metrics: llmColumns, csv_exclude_io_text: excludeText } = this.#config;
    if (trace.events.length === 0) return;
    if (this.#rows === 0) file.write(`${tableHeader({ llmColumns, excludeText })}\n`);
    this.#rows += trace.events.length;
    for (const rows of tableRows(trace, { llmColumns, excludeText, oslByUuid, noLlmStarts }))
      file.write(rows);
  }

  #json(name: string, value: unknown): void {
    this.#pieces(name, [`${JSON.stringify(value, null, 2)}\n`]);
  }

  #pieces(name: string, pieces: Iterable<string | Uint8Array>): void {
    const file = new StreamedFile(join(this.#folder, name));
    try {
      for (const piece of pieces) file.write(piece);
      this.#close(file);
    } catch (thrown) {
      file.abandon();
      throw thrown;
    }
  }

  #close(file: StreamedFile): void {
    file.finish();
    this.#written.push(file.path);
  }
}
