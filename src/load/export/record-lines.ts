import { fail } from '../../base/errors.ts';
import type { LoadRun, RequestRecord } from '../record.ts';

/** First line of a raw file: what the records share. */
interface RunLine {
  readonly kvasir_load: 1;
  readonly loop: LoadRun['loop'];
  readonly concurrency: number | null;
  readonly planned: number;
  readonly origin_wall_ms: number;
  readonly duration_ms: number;
  readonly interrupted: boolean;
  readonly health: LoadRun['health'];
  /** What was run, for whoever reads the records later. */
  readonly facts: object;
}

/** The raw record stream: one line for the run, one per request. Chunk times are differences, the first from the send. */
export function* recordLines(run: LoadRun, facts: object = {}): Generator<string> {
  const head: RunLine = {
    kvasir_load: 1,
    loop: run.loop,
    concurrency: run.concurrency ?? null,
    planned: run.planned,
    origin_wall_ms: run.originWallMs,
    duration_ms: run.durationMs,
    interrupted: run.interrupted,
    health: run.health,
    facts,
  };
  yield JSON.stringify(head);
  for (const record of run.records) {
    const { chunkMs, ...rest } = record;
    yield JSON.stringify({
      ...rest,
      chunkDeltasMs: chunkMs.map((ms, i) => roundUs(ms - (chunkMs[i - 1] ?? record.sentMs))),
    });
  }
}

/** Reads what {@link recordLines} wrote; chunk times come back to the microsecond. */
export function parseRecordLines(
  text: string,
  source = 'records',
): { readonly run: LoadRun; readonly facts: Readonly<Record<string, unknown>> } {
  const lines = text.split('\n').filter((line) => line !== '');
  const malformed = (line: number, cause?: unknown) =>
    fail(
      'KV_FILE_MALFORMED',
      { path: source, reason: `line ${line} is not a record`, mend: 'Give a records.jsonl of kvasir bench.' },
      cause,
    );
  const parsed = lines.map((line, i): unknown => {
    try {
      return JSON.parse(line);
    } catch (cause) {
      throw malformed(i + 1, cause);
    }
  });
  const head = parsed[0] as RunLine | undefined;
  if (head?.kvasir_load !== 1) throw malformed(1);
  const records = parsed.slice(1).map((value): RequestRecord => {
    const { chunkDeltasMs, ...rest } = value as RequestRecord & { readonly chunkDeltasMs: readonly number[] };
    let at = rest.sentMs;
    return { ...rest, chunkMs: chunkDeltasMs.map((delta) => (at += delta)) };
  });
  const run = {
    records,
    loop: head.loop,
    concurrency: head.concurrency ?? undefined,
    planned: head.planned,
    originWallMs: head.origin_wall_ms,
    durationMs: head.duration_ms,
    interrupted: head.interrupted,
    health: head.health,
  };
  return { run, facts: (head.facts ?? {}) as Record<string, unknown> };
}

/** Joins runs of several processes that shared one schedule, on the earliest origin: percentiles need raw records. */
export function mergeRuns(runs: readonly LoadRun[]): LoadRun {
  const originWallMs = Math.min(...runs.map((run) => run.originWallMs));
  const records = runs.flatMap((run) =>
    run.records.map((record) => shifted(record, run.originWallMs - originWallMs)),
  );
  const worst = (pick: (health: LoadRun['health']) => number): number =>
    Math.max(...runs.map((run) => pick(run.health)));
  const [first] = runs;
  return {
    records,
    loop: first?.loop ?? 'open',
    concurrency:
      first?.concurrency === undefined
        ? undefined
        : runs.reduce((sum, run) => sum + (run.concurrency ?? 0), 0),
    planned: runs.reduce((sum, run) => sum + run.planned, 0),
    originWallMs,
    durationMs: records.reduce((last, record) => Math.max(last, record.endMs), 0),
    interrupted: runs.some((run) => run.interrupted),
    health: {
      loopDelayP50Ms: worst((health) => health.loopDelayP50Ms),
      loopDelayP99Ms: worst((health) => health.loopDelayP99Ms),
      loopDelayMaxMs: worst((health) => health.loopDelayMaxMs),
      loopUtilization: worst((health) => health.loopUtilization),
      cpuShare: worst((health) => health.cpuShare),
    },
  };
}

function shifted(record: RequestRecord, by: number): RequestRecord {
  const move = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms + by);
  return {
    ...record,
    intendedMs: move(record.intendedMs),
    sentMs: record.sentMs + by,
    wroteMs: move(record.wroteMs),
    headersMs: move(record.headersMs),
    chunkMs: record.chunkMs.map((ms) => ms + by),
    lastDataMs: move(record.lastDataMs),
    endMs: record.endMs + by,
  };
}

function roundUs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
