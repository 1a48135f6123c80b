import { type VllmOptions, vllmFileName } from '../export/vllm-json.ts';
import type { LoadReport } from '../measure/report.ts';
import type { LoadRun } from '../record.ts';
import { consoleTable } from './console-table.ts';
import { type ReportFiles, writeReports, writeVllmFile } from './files.ts';
import { type RunFacts, vllmHeader } from './run-facts.ts';
import { summaryJson } from './summary-json.ts';

export interface BenchOutcome {
  readonly run: LoadRun;
  readonly report: LoadReport;
  readonly facts: RunFacts;
}

export interface PublishOptions {
  readonly outputDir?: string | undefined;
  /** vLLM's file alone: where, by its usual name unless `path` says so. */
  readonly vllmFile?: { path(name: string): string; readonly append: boolean } | undefined;
  readonly vllm: VllmOptions;
  /** Effective settings, secrets left out. */
  readonly config: Readonly<Record<string, unknown>>;
  /** A table for people instead of JSON. */
  readonly interactive: boolean;
  print(line: string): void;
}

/** Writes and prints a result, and returns the exit code that it deserves. */
export async function publish({ run, report, facts }: BenchOutcome, options: PublishOptions): Promise<0 | 1> {
  const { outputDir, vllmFile, vllm, config, print } = options;
  const summary = summaryJson(report, facts);
  const files: ReportFiles = { run, report, facts, summary, header: vllmHeader(facts), vllm, config };
  if (outputDir !== undefined) await writeReports(outputDir, files);
  if (vllmFile !== undefined) {
    await writeVllmFile(vllmFile.path(vllmFileName(files.header)), files, vllmFile.append);
  }
  print(options.interactive ? consoleTable(report, facts) : JSON.stringify(summary));
  if (options.interactive && outputDir !== undefined) print(`reports in ${outputDir}`);
  const { failed, dropped } = report.counts;
  return failed + dropped > 0 || !report.verdict.valid || report.interrupted ? 1 : 0;
}
