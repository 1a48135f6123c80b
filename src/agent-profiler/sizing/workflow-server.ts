import { createInterface } from 'node:readline';
import { fail, type KvasirError, toError } from '../../base/errors.ts';
import type { HttpClient } from '../../transport/http-client.ts';
import type { Compat } from '../config.ts';
import type { TraceEvent } from '../input/event.ts';
import { readEvent } from '../input/event-reader.ts';
import type { SizingMetrics } from './gpu-sizing.ts';
import { addTrace, LevelCollector } from './usage-stats.ts';

/** A server of NeMo Agent Toolkit (`nat serve`), which tells the events of a run while it answers. */
export interface WorkflowServer {
  readonly client: HttpClient;
  /** Of the server, or of the one endpoint to call; `/generate/full` unless it has a path. */
  readonly url: string;
  /** The member of the request that holds the input; the toolkit itself sends `input_message`. */
  readonly inputKey: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const INTERMEDIATE = 'intermediate_data:';

/** Runs the inputs, so many at a time; a run that fails marks the level as interrupted and is told of. */
export async function measureWorkflow(
  server: WorkflowServer,
  inputs: readonly unknown[],
  concurrency: number,
  compat: Compat,
  onFailure: (failure: KvasirError) => void,
): Promise<SizingMetrics> {
  const level = new LevelCollector();
  let next = 0;
  const place = async (): Promise<void> => {
    while (next < inputs.length && !server.signal.aborted) {
      const index = next++;
      let events: readonly TraceEvent[] = [];
      try {
        events = await runEvents(server, inputs[index]);
      } catch (thrown) {
        if (!server.signal.aborted) onFailure(toError(thrown));
      }
      addTrace(level, { index, events }, compat === 'nat' ? 'last-start' : 'uuid');
    }
  };
  await Promise.all(Array.from({ length: concurrency }, place));
  return level.finish();
}

/** The events of one run. Throws where there is no whole run: no answer, an error, a stream without events. */
async function runEvents(server: WorkflowServer, input: unknown): Promise<readonly TraceEvent[]> {
  const { client, inputKey, timeoutMs } = server;
  const url = new URL(server.url);
  const path = url.pathname === '/' ? '/generate/full' : url.pathname;
  const { statusCode, body } = await client.pool(server.url).request({
    method: 'POST',
    path: path + url.search,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ [inputKey]: input }),
    signal: AbortSignal.any([server.signal, AbortSignal.timeout(timeoutMs)]),
  });
  if (statusCode !== 200) {
    const said = (await body.text()).slice(0, 300);
    throw fail('KV_WORKFLOW_FAILED', { url: url.origin + path, reason: `status ${statusCode}: ${said}` });
  }
  const events: TraceEvent[] = [];
  let failure: string | undefined;
  for await (const line of createInterface({ input: body, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line.startsWith(INTERMEDIATE)) {
      const event = stepEvent(line.slice(INTERMEDIATE.length));
      if (event !== undefined) events.push(event);
    } else failure ??= errorIn(line);
  }
  const ended = events.some(({ type }) => type === 'WORKFLOW_END');
  if (failure === undefined && ended) return events;
  const reason = failure ?? (events.length === 0 ? 'its answer holds no events' : 'the workflow did not end');
  throw fail('KV_WORKFLOW_FAILED', { url: url.origin + path, reason });
}

/** What an error in place of a piece of the answer says. */
function errorIn(line: string): string | undefined {
  const text = line.replace(/^(data|error):/, '').trim();
  if (!text.startsWith('{')) return undefined;
  try {
    const said = JSON.parse(text) as object;
    return !('value' in said) && ('error' in said || 'code' in said) ? text.slice(0, 300) : undefined;
  } catch {
    return undefined;
  }
}

/** The wire carries a step's payload as JSON text within JSON. */
function stepEvent(text: string): TraceEvent | undefined {
  try {
    const { payload, parent_id } = JSON.parse(text) as { payload: string; parent_id?: string };
    return readEvent({ parent_id, payload: JSON.parse(payload) }).event;
  } catch {
    return undefined;
  }
}
