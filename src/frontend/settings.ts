import { choice, flag, int, list, number, text } from '../base/settings.ts';
import { MIGRATION_SETTINGS, POLICY_FILE_SETTINGS } from '../kv/settings.ts';

/** What is made of the hints that agents send. */
export const HINT_SETTINGS = {
  strictAgentHints: flag({ help: 'refuse agent hints that Dynamo does not know, as it does' }),
  agentPriority: choice({
    choices: ['high-is-urgent', 'low-is-urgent'],
    default: 'high-is-urgent',
    help: 'meaning of agent_hints.priority: Dynamo’s, or that of NeMo Agent Toolkit up to 1.7',
  }),
  maxSensitivity: int({
    default: 1000,
    min: 1,
    help: 'greatest latency_sensitivity, which a priority of low-is-urgent is subtracted from',
  }),
  predictionTrie: text({
    placeholder: 'FILE',
    help: 'prediction_trie.json of kvasir profile agent: hints for calls that carry none',
  }),
  forwardNvext: choice({
    choices: ['auto', 'always', 'never'],
    default: 'auto',
    help: 'engines that get nvext: those that know it, all, or none',
  }),
  forwardPriority: flag({
    help: 'give engines the priority in their own polarity; they must run with priority scheduling',
  }),
};

/** When a worker that fails is left out for a while. */
export const CIRCUIT_SETTINGS = {
  circuitFailures: int({
    default: 10,
    min: 0,
    help: 'failures in a row after which a worker gets no requests for a while; 0: never',
  }),
  circuitWindowSecs: number({
    default: 120,
    min: 1,
    placeholder: 'SECONDS',
    help: 'time within which they must lie',
  }),
  circuitOpenSecs: number({
    default: 60,
    min: 0.1,
    placeholder: 'SECONDS',
    help: 'how long it gets none, before single requests on trial',
  }),
  circuitSuccesses: int({
    default: 3,
    min: 1,
    help: 'successes in a row on trial after which it is trusted again',
  }),
};

/** When a fleet with prefill workers computes a prompt where it is decoded. */
export const BYPASS_SETTINGS = {
  conditionalPrefill: choice({
    choices: ['off', 'isl_bounding', 'prefill_load', 'isl_or_load'],
    default: 'off',
    help: 'leave prefill workers out when little of a prompt is new to its decode worker, when they are busy, or either',
  }),
  conditionalPrefillTokens: int({
    default: 8192,
    min: 0,
    help: 'prompt tokens to compute above which a prefill worker is busy in that sense',
  }),
  conditionalDecodeBlocks: number({
    default: 0.8,
    min: 0,
    max: 1,
    help: 'share of its KV blocks up to which a decode worker takes on prompts so',
  }),
};

/** Settings of the HTTP service; those of the router are in `kv/settings.ts`. */
export const FRONTEND_SETTINGS = {
  ...MIGRATION_SETTINGS,
  ...HINT_SETTINGS,
  ...POLICY_FILE_SETTINGS,
  engine: list({
    placeholder: 'SPEC',
    separator: ' ',
    help: 'engines to put requests to: http://host:port[,kv-events=tcp://...|pull][,model=NAME][,tokenizer=PATH][,block-size=N][,role=prefill|decode|both][,dp=N][,kind=vllm|sglang|trtllm|kvasir|openai][,api-key-env=VARIABLE][,bootstrap-port=N]',
  }),
  host: text({
    default: '127.0.0.1',
    placeholder: 'ADDRESS',
    env: 'DYN_HTTP_HOST',
    help: 'address to listen on',
  }),
  httpPort: int({
    default: 8000,
    min: 0,
    max: 65_535,
    placeholder: 'PORT',
    env: 'DYN_HTTP_PORT',
    help: 'port of the OpenAI API; 0 picks a free one',
  }),
  tokenizer: text({
    placeholder: 'PATH',
    help: 'tokenizer.json, or the folder that holds it, for engines that name none; "byte" for simulated ones',
  }),
  kvCacheBlockSize: int({
    min: 1,
    help: 'tokens per KV block of engines that do not tell theirs (16 where nothing says)',
    env: 'DYN_KV_CACHE_BLOCK_SIZE',
  }),
  apiKeyFile: text({
    placeholder: 'FILE',
    help: 'accept only requests that carry a key of this file, one a line: KEY [name=NAME] [concurrency=N] [requests-per-minute=N] [tokens-per-minute=N]',
  }),
  maxBodyBytes: int({ default: 45 * 1024 * 1024, min: 1024, help: 'largest request body' }),
  maxRequests: int({ default: 10_000, min: 1, help: 'requests at once, beyond which more are refused' }),
  retryLimit: int({
    default: 5,
    min: 0,
    max: 100,
    help: 'how often a request is tried again, on other workers first, when an engine fails before its first token',
  }),
  retryBackOffMs: int({
    default: 50,
    min: 0,
    placeholder: 'MS',
    help: 'wait before a second retry, or one that has no other worker to go to; half as long again for each further one, up to 30 s, within a fifth by chance',
  }),
  ...CIRCUIT_SETTINGS,
  ...BYPASS_SETTINGS,
  engineTimeoutSecs: number({
    default: 600,
    min: 1,
    help: 'how long an engine may take to begin its answer',
  }),
  streamTimeoutSecs: number({
    default: 60,
    min: 1,
    env: 'DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS',
    help: 'an answer silent for twice as long is given up',
  }),
  drainSecs: number({ default: 30, min: 0, help: 'how long requests under way may take to end at shutdown' }),
  overloadStatus: int({
    default: 529,
    min: 200,
    max: 999,
    env: 'DYN_HTTP_OVERLOAD_STATUS_CODE',
    help: 'HTTP status of an overload',
  }),
  nvext: flag({ default: true, env: 'DYN_ENABLE_FRONTEND_NVEXT', help: 'heed nvext in request bodies' }),
  disableAdminApi: flag({
    env: 'DYN_DISABLE_FRONTEND_ADMIN_API',
    help: 'serve neither /busy_threshold nor /debug',
  }),
  metricsPath: text({
    default: '/metrics',
    placeholder: 'PATH',
    env: 'DYN_HTTP_SVC_METRICS_PATH',
    help: 'where metrics are served',
  }),
  metricsPrefix: text({
    placeholder: 'NAME',
    env: 'DYN_METRICS_PREFIX',
    help: 'instead of dynamo_frontend in metric names',
  }),
  metricsCompat: choice({
    choices: ['current', '1.0.2'],
    default: 'current',
    help: 'names, labels and buckets of metrics as that version of Dynamo has them',
  }),
  openMetrics: flag({ help: 'serve OpenMetrics to scrapers that ask for it' }),
  namespace: text({
    default: 'dynamo',
    env: 'DYN_NAMESPACE',
    help: 'workers and frontends of one namespace find each other; the label dynamo_namespace of metrics',
  }),
  routerId: text({
    placeholder: 'NAME',
    help: 'name of this router among those that share bookings; made up at each start unless given',
  }),
};
