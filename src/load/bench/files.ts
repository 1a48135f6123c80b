import { createWriteStream } from 'node:fs';
import { appendFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { writeFileAtomic } from '../../transport/atomic-file.ts';
import { makeFolder } from '../../transport/folder.ts';
import { aiperfCsv, aiperfJson, aiperfRecordLine } from '../export/aiperf.ts';
import { guidellmJson } from '../export/guidellm.ts';
import { htmlReport } from '../export/html-report.ts';
import { recordLines } from '../export/record-lines.ts';
import { type VllmHeader, type VllmOptions, vllmFileName, vllmJson } from '../export/vllm-json.ts';
import type { LoadReport } from '../measure/report.ts';
import type { LoadRun } from '../record.ts';
import type { RunFacts } from './run-facts.ts';

export interface ReportFiles {
  readonly run: LoadRun;
  readonly report: LoadReport;
  readonly facts: RunFacts;
  readonly summary: Readonly<Record<string, unknown>>;
  readonly header: VllmHeader;
  readonly vllm: VllmOptions;
  /** Effective settings, secrets left out, for the tools' own `config`. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** Writes every report into a folder, each whole or not at all, and returns their paths. */
export async function writeReports(folder: string, files: ReportFiles): Promise<readonly string[]> {
  const { run, report, vllm, header, config, summary } = files;
  const goals = vllm.goals;
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const texts: Record<string, () => string> = {
    'summary.json': () => json(summary),
    [vllmFileName(header)]: () => JSON.stringify(vllmJson(run, header, vllm)),
    'profile_export_aiperf.json': () => json(aiperfJson(run, { goals, inputConfig: config })),
    'profile_export_aiperf.csv': () => aiperfCsv(run, { goals }),
    'benchmarks.json': () => JSON.stringify(guidellmJson(run, config)),
    'report.html': () => htmlReport(run, report, summary),
  };
  const written: string[] = [];
  for (const [name, make] of Object.entries(texts)) {
    await writeFileAtomic(join(folder, name), make());
    written.push(join(folder, name));
  }
  const records = run.records.map((record) => aiperfRecordLine(run, record));
  await writeLines(join(folder, 'profile_export.jsonl'), records);
  await writeLines(join(folder, 'records.jsonl'), recordLines(run, files.facts));
  return [...written, join(folder, 'profile_export.jsonl'), join(folder, 'records.jsonl')];
}

/** vLLM's file alone; appended as a line when asked. */
export async function writeVllmFile(path: string, files: ReportFiles, append: boolean): Promise<void> {
  const text = JSON.stringify(vllmJson(files.run, files.header, files.vllm));
  if (!append) return writeFileAtomic(path, text);
  makeFolder(dirname(path));
  await appendFile(path, `${text}\n`);
}

/** Long files are streamed beside their place, then renamed. */
async function writeLines(path: string, lines: Iterable<string>): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  try {
    await pipeline(Readable.from(withNewlines(lines)), createWriteStream(beside));
    await rename(beside, path);
  } catch (thrown) {
    await rm(beside, { force: true });
    throw thrown;
  }
}

function* withNewlines(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield `${line}\n`;
}
