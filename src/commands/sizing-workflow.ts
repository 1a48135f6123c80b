import type { Compat } from '../agent-profiler/config.ts';
import type { Levels, SizingMetrics } from '../agent-profiler/sizing/gpu-sizing.ts';
import { measureWorkflow } from '../agent-profiler/sizing/workflow-server.ts';
import { fail, type KvasirError, toError } from '../base/errors.ts';
import { HttpClient } from '../transport/http-client.ts';
import type { CommandContext } from './command.ts';
import { readText } from './read-text.ts';
import { logLevel } from './sizing-load.ts';

export interface WorkflowLoad {
  readonly workflow: string;
  readonly dataset: string | undefined;
  readonly questionKey: string;
  readonly inputKey: string;
  readonly endpointTimeout: number;
  readonly concurrencies: readonly number[];
  /** Runs per place: 0 takes the whole data set, filled up to serve all places alike. */
  readonly numPasses: number;
  readonly compat: Compat;
}

/** Runs the questions of a data set through a workflow server, at each concurrency. */
export async function measureWorkflowLevels(load: WorkflowLoad, context: CommandContext): Promise<Levels> {
  const { log, signal } = context;
  const questions = await readQuestions(load);
  const client = new HttpClient();
  const levels = new Map<number, SizingMetrics>();
  try {
    for (const concurrency of load.concurrencies) {
      const perPlace = load.numPasses || Math.ceil(questions.length / concurrency);
      const inputs = Array.from(
        { length: perPlace * concurrency },
        (_, i) => questions[i % questions.length],
      );
      let failed = 0;
      let failure: KvasirError | undefined;
      const server = { ...load, url: load.workflow, timeoutMs: 1000 * load.endpointTimeout, client, signal };
      const metrics = await measureWorkflow(server, inputs, concurrency, load.compat, (thrown) => {
        failed++;
        failure = thrown;
      });
      if (signal.aborted) {
        if (levels.size < 2) throw signal.reason;
        log.warn({ levels: levels.size }, 'interrupted: sizing from the levels measured so far');
        return levels;
      }
      // Nothing works: the other levels would not either.
      if (failure !== undefined && failed === inputs.length) throw failure;
      levels.set(concurrency, metrics);
      logLevel(log, metrics, { concurrency, runs: inputs.length, failed, reason: failure?.message });
    }
    return levels;
  } finally {
    await client.stop();
  }
}

/** A JSON list or JSON Lines, of questions or of items that hold one. */
async function readQuestions({ dataset, questionKey }: WorkflowLoad): Promise<readonly unknown[]> {
  if (dataset === undefined)
    throw fail('KV_USAGE', {
      reason: '--workflow needs questions to run',
      mend: 'Name the data set of nat eval with --dataset FILE.',
    });
  const text = await readText(dataset);
  const malformed = (reason: string) =>
    fail('KV_FILE_MALFORMED', {
      path: dataset,
      reason,
      mend: `Give a JSON list of items with "${questionKey}".`,
    });
  let items: unknown;
  try {
    const lines = text.trim().startsWith('{');
    items = JSON.parse(lines ? `[${text.trim().split(/\r?\n/).filter(Boolean).join(',')}]` : text);
  } catch (cause) {
    throw malformed(toError(cause).message);
  }
  const questions = (Array.isArray(items) ? items : []).map((item) =>
    typeof item === 'string' ? item : (item as Readonly<Record<string, unknown>> | null)?.[questionKey],
  );
  const missing = questions.findIndex((question) => question === undefined || question === null);
  if (questions.length === 0) throw malformed('holds no list of questions');
  if (missing >= 0) throw malformed(`item ${missing} has no "${questionKey}"`);
  return questions;
}
