import { fail, type KvasirError } from '../base/errors.ts';
import { type Fault, readErrorMessage, refusalFault } from '../formats/openai/engine-error.ts';
import { errorType } from '../formats/openai/error-body.ts';
import type { HttpClient } from './http-client.ts';
import type { RelayOutcome } from './relay.ts';

type Answered = Extract<RelayOutcome, { kind: 'answered' }>;
type Lost = Extract<RelayOutcome, { kind: 'broke' | 'timeout' }>;

/** Statuses by which an engine says that another one may do better. */
const TRY_ANOTHER = new Set([429, 502, 503, 529]);

const HEALTH_TIMEOUT_MS = 2000;

export function mayTryAnother(outcome: RelayOutcome): boolean {
  return faultOf(outcome) === 'engine';
}

/** Whose failing the outcome is; undefined if it is none of an engine that answered or was to answer. */
export function faultOf(outcome: RelayOutcome): Fault | undefined {
  if (outcome.kind === 'broke') return 'engine';
  if (outcome.kind !== 'answered' || outcome.status < 400) return undefined;
  if (TRY_ANOTHER.has(outcome.status)) return 'engine';
  const { text, error } = readRefusal(outcome.body);
  return refusalFault(outcome.status, error, text);
}

/** Asks an engine that failed a request for no clear reason whether it lives; silence means no. */
export async function isDown(client: HttpClient, url: string): Promise<boolean> {
  try {
    return (await client.json(`${url}/health`, { timeoutMs: HEALTH_TIMEOUT_MS })).status >= 500;
  } catch {
    return true;
  }
}

/** Whether the engine leaves a question without any answer; one that drains says so. */
export async function answersNothing(client: HttpClient, url: string): Promise<boolean> {
  return client.text(`${url}/health`, { timeoutMs: HEALTH_TIMEOUT_MS }).then(
    () => false,
    () => true,
  );
}

/** The engine is healthy but has too much to do. */
export function isRefusal(outcome: RelayOutcome): boolean {
  return outcome.kind === 'answered' && (outcome.status === 429 || outcome.status === 529);
}

/** What became of a request whose engine did not answer to the end. */
export function lostEngine(outcome: Lost, url: string, begun: boolean): KvasirError {
  if (outcome.kind === 'timeout')
    return fail('KV_ENGINE_TIMEOUT', { url, waiting: WAITING[outcome.waiting], afterMs: outcome.afterMs });
  return fail(begun ? 'KV_ENGINE_BROKE_OFF' : 'KV_ENGINE_UNREACHABLE', { url, reason: outcome.reason });
}

const WAITING = {
  headers: 'its answer to begin',
  data: 'the next part of its answer',
  client: 'the client to read',
} as const;

/** An engine's refusal as the client gets it: its own bytes where they have the shape of the API. */
export function refusalBody({ status, headers, body }: Answered): {
  readonly type: string;
  readonly bytes: Buffer;
} {
  const json = 'application/json; charset=utf-8';
  const message = refusalMessage(body);
  if (message.shaped) return { type: headers['content-type'] ?? json, bytes: body };
  const error = { message: message.text, type: errorType(status), param: null, code: status };
  return { type: json, bytes: Buffer.from(JSON.stringify({ error })) };
}

/** What an error body says, whatever its shape. */
export function refusalMessage(body: Buffer): { readonly text: string; readonly shaped: boolean } {
  const { text, shaped } = readRefusal(body);
  return { text: text === '' ? 'the engine gave no reason' : text.slice(0, 1000), shaped };
}

function readRefusal(body: Buffer): {
  readonly text: string;
  readonly shaped: boolean;
  readonly error: unknown;
} {
  const whole = body.toString('utf8').trim();
  try {
    const parsed: unknown = JSON.parse(whole);
    const { error = parsed, message, detail } = parsed as Record<string, unknown>;
    const shaped = error !== parsed && typeof error === 'object' && error !== null && 'message' in error;
    const said = error === parsed ? (readErrorMessage(message) ?? readErrorMessage(detail)) : undefined;
    return { text: said ?? readErrorMessage(error) ?? whole, shaped, error };
  } catch {
    return { text: whole, shaped: false, error: undefined };
  }
}
