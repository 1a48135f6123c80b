/**
 * Whose failing an error is: the engine's, for which another one can do better, the request's, which fails
 * everywhere, or one that only a look at the engine can tell.
 */
export type Fault = 'engine' | 'request' | 'unclear';

export interface EngineError {
  readonly message: string;
  readonly fault: Fault;
  /** The engine itself says that it is gone, and not only that it failed. */
  readonly dead?: boolean;
}

/** Error types by which engines and gateways blame themselves, whatever code comes with them. */
const OWN_FAULT =
  /internal.?(server.?)?error|^server.?error|service.?unavailable|bad.?gateway|gateway.?timeout/i;

const DEATH = /Engine(Dead|Generate)Error/;

/**
 * What engines say when their core has died. vLLM up to 0.13 says it as `BadRequestError` with code 400 in the
 * middle of a stream, TensorRT-LLM as the same in place of an answer.
 */
const LAST_WORDS = [
  DEATH,
  /EngineCore (encountered an issue|died)/i,
  /engine (process|loop|core) (died|is not running|is dead|has died)/i,
  /background loop (has errored|is stopped|is not running)/i,
  /(LLM|engine|server|executor|worker|scheduler|detokenizer)( process)? (is shutting down|(has |was |has been |is )?(shut ?down|died|dead|terminated|exited|crashed))/i,
];

/** Reasons of a finish that no client asked for. */
const BROKEN_FINISHES = new Set(['abort', 'error']);

/**
 * Reads the error of an event or a body: an object with message, type and code, or a text; undefined if there is
 * none. `begun` says that the answer had begun, from when on few requests are still found to be wrong.
 */
export function readEngineError(error: unknown, begun: boolean): EngineError | undefined {
  const message = readErrorMessage(error);
  if (message === undefined) return undefined;
  const dead = isDeath(error, message);
  return { message, fault: faultOf(error, dead, begun), ...(dead && { dead }) };
}

/** The error that a choice ended with in place of an answer; undefined if it ended as it should. */
export function readBrokenFinish(reason: unknown): EngineError | undefined {
  if (typeof reason !== 'string' || !BROKEN_FINISHES.has(reason)) return undefined;
  return { message: `the engine ended it with finish_reason "${reason}"`, fault: 'engine' };
}

/** The message of an error body of any engine: an object with a message, or a text. */
export function readErrorMessage(error: unknown): string | undefined {
  if (typeof error === 'string') return error;
  if (typeof error !== 'object' || error === null) return undefined;
  const { message } = error as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(error);
}

/** Whose failing an answer that is an error is; an engine that lives may well have refused it for what it asks. */
export function refusalFault(status: number, error: unknown, message: string): Fault {
  if (isDeath(error, message) && (status >= 500 || message !== '')) return 'engine';
  return status >= 500 && status !== 501 ? 'unclear' : 'request';
}

function faultOf(error: unknown, dead: boolean, begun: boolean): Fault {
  const { type, code } = fieldsOf(error);
  if (dead || code >= 500 || OWN_FAULT.test(type)) return 'engine';
  return code >= 400 && !begun ? 'request' : 'unclear';
}

function isDeath(error: unknown, message: string): boolean {
  // vLLM's EngineGenerateError has no text; who refuses a request says why.
  if (message.trim() === '') return true;
  return DEATH.test(fieldsOf(error).type) || LAST_WORDS.some((words) => words.test(message));
}

function fieldsOf(error: unknown): { readonly type: string; readonly code: number } {
  const { type, code } =
    typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {};
  return { type: typeof type === 'string' ? type : '', code: code == null ? Number.NaN : Number(code) };
}
