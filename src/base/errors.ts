/**
 * Every way Kvasir can fail, as data: message template (`{fact}` is filled from the facts), HTTP status,
 * the OpenAI error `type`, and a hint that says what to do next. Grouped by the part that raises it.
 */
export const ERRORS = {
  // any part
  KV_INTERNAL: { message: '{reason}', status: 500, hint: 'This is a defect of Kvasir: please report it.' },
  KV_INTERRUPTED: { message: 'interrupted by {signal}', status: 500, hint: 'Run the command again.' },

  // kernels
  KV_MEMORY_EXHAUSTED: {
    message: 'kernel memory of {sizeBytes} bytes cannot grow to {neededBytes}',
    status: 500,
    hint: 'Give the process more memory, or less to hold.',
  },

  // settings and command line
  KV_SETTING_INVALID: { message: '{setting}: {value} {reason}', status: 400, hint: '{mend}' },
  KV_SETTING_UNKNOWN: { message: 'unknown setting {setting}', status: 400, hint: '{mend}' },
  KV_USAGE: { message: '{reason}', status: 400, hint: '{mend}' },

  // metrics
  KV_METRIC_INVALID: { message: 'metric {name}: {reason}', status: 500, hint: '{mend}' },

  // connector
  KV_CONNECTOR_REGISTERED: {
    message: 'connector {name} is registered already',
    status: 500,
    hint: 'Register it once, or under another name.',
  },

  // files and sockets
  KV_FILE_UNREADABLE: {
    message: 'cannot read {path}: {reason}',
    status: 500,
    hint: 'Check that the file exists and is readable.',
  },
  KV_FILE_UNWRITABLE: {
    message: 'cannot write {path}: {reason}',
    status: 500,
    hint: 'Name a folder that can be made and written, on a disk with room.',
  },
  KV_FILE_MALFORMED: { message: '{path}: {reason}', status: 400, hint: '{mend}' },
  KV_TRACE_MALFORMED: { message: '{source}, line {line}: {reason}', status: 400, hint: '{mend}' },
  KV_TRACE_UNIT: {
    message:
      '{source}: the unit of its times is doubtful: {rows} rows over {span} make {asSeconds} requests/s in seconds, {asMs} in milliseconds',
    status: 400,
    hint: 'Name the unit: --time-unit s or --time-unit ms.',
  },
  KV_LOAD_LEXICON: {
    message: 'the tokenizer has too few words of one token each ({words}) to write prompts of exact length',
    status: 400,
    hint: 'Send token ids instead: --prompt token-ids.',
  },
  KV_PORT_BUSY: {
    message: 'port {port} on {host} is already in use',
    status: 500,
    hint: 'Choose another with {flag}, or 0 for any free port.',
  },
  KV_LISTEN_FAILED: {
    message: 'cannot listen on port {port} of {host}: {reason}',
    status: 500,
    hint: 'Choose another address with --host or another port with {flag}.',
  },
  KV_PROGRAM_FAILED: { message: '{program} does not run: {reason}', status: 500, hint: '{mend}' },
  KV_OPTIONAL_MISSING: {
    message: 'the optional package {name} could not be loaded: {reason}',
    status: 500,
    hint: 'It is needed for {feature}; run npm install with optional dependencies.',
  },

  // services of the router
  KV_RECORD_UNKNOWN: { message: '{what} {id} is not known', status: 404, hint: '{mend}' },
  KV_RECORD_CONFLICT: { message: '{reason}', status: 409, hint: '{mend}' },
  KV_SERVICE_BUSY: { message: '{reason}', status: 429, hint: 'Try again when workers have less to do.' },
  KV_SERVICE_NOT_READY: { message: '{reason}', status: 503, hint: '{mend}' },

  // OpenAI requests
  KV_REQUEST_INVALID: { message: 'Validation: {reason}', status: 400, hint: '{mend}' },
  KV_ROUTE_UNKNOWN: {
    message: 'no route for {method} {path}',
    status: 404,
    hint: 'See /openapi.json for what is served here.',
  },
  KV_METHOD_NOT_ALLOWED: {
    message: '{method} is not allowed on {path}',
    status: 405,
    hint: 'Use {allowed}.',
  },
  KV_MODEL_UNKNOWN: {
    message: 'The model `{model}` does not exist.',
    status: 404,
    hint: 'Served models: {served}.',
  },
  KV_CONTEXT_LENGTH: {
    message:
      "This model's maximum context length is {limit} tokens, but {requested} were requested ({prompt} in the prompt, {output} to generate)",
    status: 400,
    hint: 'Shorten the prompt or lower max_tokens.',
  },
  KV_MEDIA_TYPE: {
    message: 'the content type {type} is not supported',
    status: 415,
    hint: 'Send Content-Type: application/json.',
  },
  KV_RESPONSE_UNKNOWN: {
    message: 'the response {response} is not known here',
    status: 404,
    hint: 'Engines keep responses where they are told to; this frontend knows the latest that it passed on.',
  },
  KV_CONTENT_ENCODING: {
    message: 'the content encoding {encoding} is not supported',
    status: 415,
    hint: 'Send the body as it is, or as gzip, deflate or br.',
  },
  KV_BODY_TOO_LARGE: {
    message: 'the request body exceeds {limit} bytes',
    status: 413,
    hint: 'Send a smaller body or raise --max-body-bytes.',
  },
  KV_UNAUTHORIZED: {
    message: 'missing or unknown API key',
    status: 401,
    hint: 'Send Authorization: Bearer <key>.',
  },

  KV_RATE_LIMITED: {
    message: 'the limit of {limit} of API key {key} is reached',
    status: 429,
    hint: 'Try again in {retryAfterS} s.',
  },

  KV_DRAINING: {
    message: 'the service is shutting down',
    status: 503,
    hint: 'Send the request to another replica.',
  },

  KV_TOKENIZER_UNUSABLE: {
    message: 'the tokenizer cannot be used: {reason}',
    status: 500,
    hint: 'Give the tokenizer.json that belongs to the model with --tokenizer, or with tokenizer= of the engine.',
  },

  // routing and engines
  KV_NO_WORKERS: {
    message: 'no worker can serve model {model}: {reason}',
    status: 503,
    hint: 'Start a worker, or wait until one is ready.',
  },
  KV_OVERLOADED: {
    message: 'all eligible workers are overloaded: {reason}',
    status: 529,
    hint: 'Retry later, add workers, or raise the busy thresholds.',
  },
  KV_WORKER_UNKNOWN: {
    message: 'worker {worker} is not known',
    status: 400,
    hint: 'Known workers: {known}.',
  },
  KV_ENGINE_UNREACHABLE: {
    message: 'engine {url} cannot be reached: {reason}',
    status: 503,
    hint: 'Check that it runs and that the address is right.',
  },
  KV_ENGINE_BROKE_OFF: {
    message: 'engine {url} ended its answer early: {reason}',
    status: 502,
    hint: 'Retry; look at the log of the engine.',
  },
  KV_WORKFLOW_FAILED: {
    message: 'workflow {url}: {reason}',
    status: 502,
    hint: 'Look at the log of the workflow server; --input-key names the member of a request that holds the input.',
  },
  KV_HANDOFF_FAILED: {
    message: 'the KV of the prompt cannot be fetched from {url}: {reason}',
    status: 500,
    hint: 'Look whether the prefilling engine runs and is reached; --kv-load-failure-policy recompute computes it anew instead.',
  },
  KV_HANDOFF_UNKNOWN: {
    message: 'no KV is kept under {name}, or not any more',
    status: 404,
    hint: 'Each is given once, and kept for 30 s.',
  },
  KV_SNAPSHOT_UNKNOWN: {
    message: 'what rank {rank} of the engine holds is not known exactly',
    status: 404,
    hint: 'Give --replay, or start the worker before the engine serves requests, so that no event is missed.',
  },
  KV_ENGINE_STARTING: {
    message: 'the engine of model {model} is not ready yet',
    status: 503,
    hint: 'Wait until /health answers 200.',
  },
  KV_ENGINE_STOPPING: {
    message: '{reason}',
    status: 503,
    hint: 'Send the request to another engine.',
  },
  KV_ENGINE_QUEUE_FULL: {
    message: 'the engine has {inFlight} requests in flight already',
    status: 503,
    hint: 'Retry later, or raise --max-requests.',
  },
  KV_WORKER_REFUSED: {
    message: 'the request cannot go to worker {worker}: {reason}',
    status: 400,
    hint: 'Name a worker that serves the model, or none.',
  },
  KV_PREFILL_FAILED: {
    message: 'prefill worker {url} did not compute the prompt: {reason}',
    status: 502,
    hint: 'Retry; look at the log of the prefill worker.',
  },
  KV_ENGINE_TIMEOUT: {
    message: 'gave up on engine {url} after {afterMs} ms of waiting for {waiting}',
    status: 504,
    hint: 'Look at the load of the engine, or raise the time limits of the frontend.',
  },
  KV_EVENTS_SILENT: {
    message: 'the engine did not tell its KV events within {ms} ms',
    status: 503,
    hint: 'Check the replay address of the engine and that its KV events are on.',
  },
  KV_ENGINE_REJECTED: {
    message: 'request rejected: {reason}',
    status: 400,
    hint: 'Send a shorter prompt or give the engine more KV blocks.',
  },

  // collector
  KV_PROMETHEUS_UNREACHABLE: {
    message: 'Prometheus {url} cannot be reached: {reason}',
    status: 502,
    hint: 'Start it, or correct --prometheus-url.',
  },
  KV_PROMETHEUS_REFUSED: {
    message: '{url} refused {query}: {reason}',
    status: 502,
    hint: 'Check the expression, and that the URL is that of Prometheus.',
  },

  // Thompson policy
  KV_THOMPSON_STATE: {
    message: 'the saved state of the Thompson policy cannot be used: {reason}',
    status: 500,
    hint: 'Remove the file, or begin anew without it.',
  },

  // SLA profiler
  KV_PROFILE_TOO_FEW_POINTS: {
    message: 'only {measured} {phase} points could be measured, {needed} are needed: {reason}',
    status: 500,
    hint: 'Mend the cause and run the command again: what was measured is kept, what failed is tried again.',
  },
  KV_PROFILE_TOO_SMALL: {
    message:
      'the engine holds {maxKvTokens} KV tokens, too few for one request of {islTokens} + {oslTokens} tokens on each of {ranks} ranks',
    status: 400,
    hint: 'Profile wider engines with --max-num-gpus-per-engine, or shorter requests.',
  },
  KV_PROFILE_SIM_REFUSED: {
    message:
      'the simulated engine, which holds {holds} KV tokens, does not take {count} requests of {tokens}: {said}',
    status: 400,
    hint: 'Profile wider engines or shorter requests, or give --sim-model more kvTokensPerGpu.',
  },
  KV_PROFILE_NO_CAPACITY: {
    message: 'the KV capacity of {url} is not known',
    status: 500,
    hint: 'Give --max-kv-tokens.',
  },
  KV_PROFILE_CACHE_MISS: {
    message:
      'only {share} % of the prompts were still cached when they were sent again, so prefill would count as decode',
    status: 500,
    hint: 'Turn prefix caching on in the engine, or sweep fewer requests.',
  },
  KV_PROFILE_PROMPT_CACHED: {
    message:
      'engine {url} had the prompts of every tried seed in its cache, so their TTFT says nothing of prefill',
    status: 500,
    hint: 'Restart the engine, turn its prefix caching off, or give another --seed.',
  },
  KV_PROFILE_NOT_TOGETHER: {
    message: 'only {together} of {asked} requests were decoding at the same time, too briefly to be measured',
    status: 500,
    hint: 'The engine runs fewer requests at once than its KV cache holds (--max-num-seqs): raise its limit, or ask for longer answers with --osl.',
  },
  KV_PROFILE_NO_ENDPOINT: {
    message: 'no endpoint was given for {mapping}',
    status: 400,
    hint: 'Add --endpoint for it, or narrow --min/--max-num-gpus-per-engine.',
  },
  KV_PROFILE_NOTHING_THERE: {
    message: 'there is no file below {folder} on claim {claim}',
    status: 404,
    hint: 'Check --folder and --claim, and that the job has run.',
  },
  KV_PROFILE_ODD_PATH: {
    message: 'the claim names a file {path}, which would be written outside the folder for {folder}',
    status: 502,
    hint: 'Nothing was written. Look at what is on the claim.',
  },
  KV_KUBERNETES: { message: '{action} failed: {reason}', status: 502, hint: '{mend}' },
  KV_IMAGE_UNAVAILABLE: {
    message: 'pod {pod} cannot pull the image {image}: {reason}',
    status: 502,
    hint: 'Check the name of the image in the deployment file, and that namespace {namespace} has a pull secret for its registry.',
  },
  KV_ENGINE_NOT_READY: {
    message: 'the engine of {order} was not ready after {seconds} s: {reason}',
    status: 503,
    hint: 'Look at its log; allow more time with --ready-timeout.',
  },
} as const satisfies Record<string, ErrorSpec>;

interface ErrorSpec {
  readonly message: string;
  /** HTTP status at a server's edge; a command exits 2 for KV_USAGE and KV_SETTING_*, else 1. */
  readonly status: number;
  readonly hint: string;
}

export type ErrorCode = keyof typeof ERRORS;
export type Facts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** The only error class: `code` names a row of {@link ERRORS}, `facts` fill its message and hint. */
export class KvasirError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly hint: string;
  readonly facts: Facts;

  constructor(code: ErrorCode, facts: Facts = {}, cause?: unknown) {
    const spec: ErrorSpec = ERRORS[code];
    super(fill(spec.message, facts), cause === undefined ? undefined : { cause });
    this.name = 'KvasirError';
    this.code = code;
    this.status = spec.status;
    this.hint = fill(spec.hint, facts);
    this.facts = facts;
  }
}

/** Makes the error of a code, to be thrown: `throw fail('KV_NO_WORKERS', { model, reason })`. */
export function fail(code: ErrorCode, facts: Facts = {}, cause?: unknown): KvasirError {
  return new KvasirError(code, facts, cause);
}

/** The only normaliser of thrown values: anything becomes a {@link KvasirError}, its cause kept. */
export function toError(thrown: unknown): KvasirError {
  if (thrown instanceof KvasirError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new KvasirError('KV_INTERNAL', { reason }, thrown);
}

/** Exit code of a command that failed so: 2 for wrong usage, else 1. */
export function exitCode(error: KvasirError): 1 | 2 {
  return error.code === 'KV_USAGE' || error.code.startsWith('KV_SETTING_') ? 2 : 1;
}

function fill(template: string, facts: Facts): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => String(facts[name] ?? ''));
}
