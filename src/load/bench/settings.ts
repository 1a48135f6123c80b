import { choice, flag, int, list, number, type SettingsOf, text } from '../../base/settings.ts';
import { TIME_UNITS, TRACE_FORMATS } from '../../formats/traces/trace.ts';
import { CONVENTIONS } from '../measure/timings.ts';

/** Settings of `kvasir bench`; aliases are the flags of vLLM bench serve and aiperf. */
export const BENCH_SETTINGS = {
  url: text({
    default: 'http://127.0.0.1:8000',
    placeholder: 'URL',
    aliases: ['--base-url'],
    help: 'base URL of an OpenAI-compatible server',
  }),
  backend: choice({
    choices: ['openai', 'vllm', 'openai-chat', 'completions', 'chat'],
    default: 'openai',
    aliases: ['--endpoint-type'],
    help: 'API to load: openai, vllm and completions mean /v1/completions, the others /v1/chat/completions',
  }),
  endpoint: text({
    placeholder: 'PATH',
    env: 'KVASIR_BENCH_ENDPOINT',
    help: 'path of the API when it is not the usual one',
  }),
  model: text({ help: 'model to ask for; the first one that the server lists when absent' }),
  apiKey: text({ secret: true, env: 'OPENAI_API_KEY', help: 'bearer token to send' }),
  header: list({ placeholder: 'NAME:VALUE', separator: '\n', help: 'further request header' }),
  prompt: choice({
    choices: ['auto', 'token-ids', 'text'],
    default: 'auto',
    help: 'how prompts travel to /v1/completions: as token ids (exact) or as text; chat is always text',
  }),
  tokenizer: text({
    placeholder: 'PATH',
    help: 'tokenizer.json for texts of exact length; byte: one character a token',
  }),
  tokenIds: text({
    placeholder: 'LOW-HIGH',
    help: 'range of token ids in prompts; by default one without special ids',
  }),

  trace: text({
    placeholder: 'FILE',
    aliases: ['--dataset-path', '--input-file'],
    help: 'replay this trace, its arrivals included unless a rate is given; .gz is read, - is stdin',
  }),
  datasetName: choice({
    choices: ['random', 'prefix_repetition', 'custom', 'burstgpt', 'trace'],
    help: 'kind of the data by vLLM’s names: random and prefix_repetition are synthetic, the others name the format of --trace',
  }),
  traceFormat: choice({
    choices: TRACE_FORMATS,
    help: 'format of the trace; known by its first line when absent',
  }),
  traceBlockSize: int({ min: 1, help: 'tokens behind one hash id of the trace; 512, or 64 for weka' }),
  timeUnit: choice({ choices: TIME_UNITS, help: 'unit of the times in the trace' }),
  repair: flag({ help: 'cut rows of the trace whose lengths and hash ids disagree, instead of failing' }),
  speedup: number({
    default: 1,
    min: 1e-6,
    help: 'compress the arrivals and delays of the trace so many times',
  }),

  isl: int({
    default: 1024,
    min: 1,
    aliases: ['--random-input-len', '--input-len', '--synthetic-input-tokens-mean'],
    help: 'prompt tokens of each request',
  }),
  osl: int({
    default: 128,
    min: 1,
    aliases: ['--random-output-len', '--output-len', '--output-tokens-mean'],
    help: 'tokens to generate for each request',
  }),
  rangeRatio: number({
    default: 0,
    min: 0,
    max: 1,
    aliases: ['--random-range-ratio'],
    help: 'lengths vary uniformly by this share',
  }),
  prefixLen: int({
    default: 0,
    min: 0,
    aliases: ['--random-prefix-len', '--prefix-repetition-prefix-len'],
    help: 'tokens before the prompt that it shares with its group',
  }),
  prefixes: int({
    default: 1,
    min: 1,
    aliases: ['--prefix-repetition-num-prefixes'],
    help: 'number of such groups',
  }),
  requests: int({
    min: 1,
    aliases: ['--num-prompts', '--request-count'],
    help: 'requests to send: 1000, or the whole trace',
  }),
  numWarmups: int({
    default: 0,
    min: 0,
    aliases: ['--warmup-request-count'],
    help: 'requests to send before, kept out of the statistics',
  }),
  warmupSec: number({
    default: 0,
    min: 0,
    help: 'requests of a trace due in its first seconds are kept out of the statistics',
  }),
  cacheState: choice({
    choices: ['cold', 'warmed', 'unknown'],
    default: 'unknown',
    help: 'state of the server’s prefix cache at the start, for the report',
  }),

  concurrency: int({
    min: 1,
    aliases: ['--max-concurrency'],
    help: 'requests (sessions of a trace) at a time; with a rate, an upper limit behind it',
  }),
  rate: text({
    placeholder: 'R',
    aliases: ['--request-rate'],
    help: 'requests per second of an open loop; inf sends all at once',
  }),
  arrival: choice({
    choices: ['poisson', 'constant', 'gamma', 'burst'],
    help: 'process of the arrivals at that rate; poisson unless burstiness says otherwise',
  }),
  burstiness: number({
    default: 1,
    min: 0.001,
    aliases: ['--arrival-smoothness'],
    help: 'shape of gamma arrivals: 1 is Poisson, less comes in bursts',
  }),
  rampUpStrategy: choice({ choices: ['linear', 'exponential'], help: 'let the rate move from start to end' }),
  rampUpStartRps: number({ min: 0, help: 'rate at the first request' }),
  rampUpEndRps: number({ min: 0, help: 'rate at the last request' }),
  maxInFlight: int({
    default: 10_000,
    min: 1,
    help: 'open loop: requests due while so many are in flight are dropped and counted',
  }),
  durationSec: number({
    min: 0.001,
    aliases: ['--benchmark-duration'],
    help: 'send nothing after so many seconds',
  }),
  cancelRate: number({
    default: 0,
    min: 0,
    max: 100,
    aliases: ['--request-cancellation-rate'],
    help: 'percentage of requests that the client gives up',
  }),
  cancelAfterMs: number({ default: 1000, min: 0, help: 'when it gives them up' }),
  requestTimeoutSec: number({
    default: 600,
    min: 0.001,
    aliases: ['--request-timeout-seconds'],
    help: 'a request that takes longer has failed',
  }),
  readyCheckTimeoutSec: number({
    default: 30,
    min: 0,
    help: 'how long to wait for the server to answer /v1/models',
  }),

  ignoreEos: flag({ default: true, help: 'make the engine generate all tokens asked for' }),
  continuousUsage: flag({
    help: 'ask the server to count tokens on every chunk, for exact gaps when it batches them',
  }),
  extraBody: text({
    placeholder: 'JSON',
    aliases: ['--extra-inputs'],
    help: 'fields to merge into every request',
  }),
  requestIdPrefix: text({ help: 'start of the x-request-id of every request; random when absent' }),
  shard: text({
    placeholder: 'I/N',
    help: 'send only every N-th session from the I-th on (from 0): N processes share one schedule',
  }),
  startAt: number({
    placeholder: 'EPOCH_S',
    min: 0,
    help: 'seconds since 1970 at which the schedule starts, equal for all shards',
  }),
  seed: int({ default: 0, help: 'makes lengths, arrivals and prompts; the same seed repeats them' }),

  goodput: list({
    placeholder: 'KEY:MS',
    help: 'goals of a good request: ttft, tpot and e2el in milliseconds, as ttft:200,tpot:20',
  }),
  convention: choice({
    choices: CONVENTIONS,
    default: 'kvasir',
    help: 'whose definitions the printed numbers follow',
  }),
  sendLagLimitMs: number({
    default: 10,
    min: 0,
    help: 'a run whose p99 send lag exceeds this and 1 % of the median TTFT is invalid',
  }),
  percentileMetrics: list({
    default: ['ttft', 'tpot', 'itl'],
    help: 'metrics with statistics in vLLM’s file: ttft, tpot, itl, e2el',
  }),
  metricPercentiles: list({ default: ['99'], placeholder: 'P', help: 'percentiles of these metrics' }),

  outputDir: text({
    placeholder: 'DIR',
    aliases: ['--artifact-dir'],
    help: 'write all reports here: raw records, vLLM, aiperf and guidellm files, HTML',
  }),
  saveResult: flag({ help: 'write vLLM’s file' }),
  saveDetailed: flag({ help: 'with the arrays of single requests' }),
  appendResult: flag({ help: 'append it to the file as a line instead of replacing the file' }),
  resultDir: text({ placeholder: 'DIR', help: 'folder of vLLM’s file; the current one when absent' }),
  resultFilename: text({ placeholder: 'NAME', help: 'name of vLLM’s file' }),
  label: text({ help: 'first word of its name' }),
  metadata: list({ placeholder: 'KEY=VALUE', help: 'facts to keep in it' }),
};

export type BenchSettings = SettingsOf<typeof BENCH_SETTINGS>;
