import { choice, flag, int, number, type SettingsOf, text } from '../base/settings.ts';
import { DEFAULT_ACCELERATOR_TO_CPU_RATIO } from './policies/device-aware-weighted.ts';
import { QUEUE_POLICIES } from './queue/queue-order.ts';

export const ROUTER_MODES = [
  'kv',
  'round-robin',
  'random',
  'direct',
  'power-of-two',
  'least-loaded',
  'device-aware-weighted',
  'thompson',
  'thompson-reference',
] as const;

const MAX_AFFINITY_TTL_S = 31_536_000;

/** Flags that decide where requests go; names and defaults are Dynamo's, with `KVASIR_` where it has none. */
const ROUTING_SETTINGS = {
  routerMode: choice({
    choices: ROUTER_MODES,
    default: 'kv',
    env: 'DYN_ROUTER_MODE',
    help: 'how a worker is chosen',
  }),
  routerPreset: choice({
    choices: ['current', '1.0'],
    default: 'current',
    help: 'version of the KV cost: 1.0 is that of Dynamo 1.0.2, with its ties',
  }),
  routerSeed: int({
    min: 0,
    help: 'seed of ties and draws, for each --router-id its own; chosen anew at each start unless given',
  }),
  loadAware: flag({ env: 'DYN_LOAD_AWARE', help: 'kv mode by load alone, without cache signals' }),
  routerMinInitialWorkers: int({
    default: 0,
    min: 0,
    env: 'DYN_ROUTER_MIN_INITIAL_WORKERS',
    help: 'not ready before so many workers are',
  }),
  routerSessionAffinityTtlSecs: int({
    min: 1,
    max: MAX_AFFINITY_TTL_S,
    env: 'DYN_ROUTER_SESSION_AFFINITY_TTL_SECS',
    placeholder: 'SECONDS',
    help: 'keep a session on its worker until it was idle so long; off unless given',
  }),
  decisionLog: int({
    default: 256,
    min: 0,
    max: 65_536,
    help: 'latest routing decisions to keep for inspection',
  }),
};

/** Weights of the KV cost. */
const COST_SETTINGS = {
  routerKvOverlapScoreCredit: number({
    default: 1,
    min: 0,
    env: 'DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT',
    help: 'worth of a cached block; 0 turns the index off',
  }),
  routerKvOverlapScoreCreditDecay: number({
    default: 0,
    min: 0,
    env: 'DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT_DECAY',
    help: 'how fast that worth falls on workers with a longer prefill backlog than the least loaded',
  }),
  kvOverlapScoreWeight: number({
    min: 0,
    env: 'DYN_KV_OVERLAP_SCORE_WEIGHT',
    help: 'legacy: sets the prefill load scale, and 0 also the overlap credit to 0',
  }),
  routerPrefillLoadScale: number({
    default: 1,
    min: 0,
    env: 'DYN_ROUTER_PREFILL_LOAD_SCALE',
    help: 'weight of prompt blocks to compute against blocks in decode; above 1 favours workers that have the prefix',
  }),
  routerHostCacheHitWeight: number({
    default: 0.75,
    min: 0,
    max: 1,
    env: 'DYN_ROUTER_HOST_CACHE_HIT_WEIGHT',
    help: 'worth of a block in host memory against one on the device',
  }),
  routerDiskCacheHitWeight: number({
    default: 0.25,
    min: 0,
    max: 1,
    env: 'DYN_ROUTER_DISK_CACHE_HIT_WEIGHT',
    help: 'the same for disk and external stores',
  }),
  routerDecodeActiveRequestWeight: number({
    default: 0,
    min: 0,
    env: 'DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT',
    help: 'cost in blocks of each active request',
  }),
  sharedCacheMultiplier: number({
    default: 0.5,
    min: 0,
    max: 1,
    env: 'DYN_SHARED_CACHE_MULTIPLIER',
    help: 'worth of a block that only a shared cache has',
  }),
  sharedCacheType: choice({
    choices: ['none', 'hints'],
    default: 'none',
    env: 'DYN_SHARED_CACHE_TYPE',
    help: 'where hits of a shared cache come from: none, or hints that requests bring',
  }),
  routerTemperature: number({
    default: 0,
    min: 0,
    env: 'DYN_ROUTER_TEMPERATURE',
    help: '0 takes the cheapest worker; more spreads requests over the cheap ones',
  }),
  encoderCudaToCpuRatio: number({
    default: DEFAULT_ACCELERATOR_TO_CPU_RATIO,
    min: 0.001,
    env: 'DYN_ENCODER_CUDA_TO_CPU_RATIO',
    help: 'requests that an accelerator takes for one on a CPU, in device-aware-weighted mode',
  }),
};

/** What the router believes of caches and loads. */
const TRACKING_SETTINGS = {
  routerKvEvents: flag({
    default: true,
    env: 'DYN_ROUTER_USE_KV_EVENTS',
    help: 'take cache contents from events of the engines; otherwise guess from earlier decisions',
  }),
  indexMemoryMib: int({
    default: 1024,
    min: 1,
    max: 4096,
    placeholder: 'MIB',
    help: 'memory that the index of a model never outgrows: beyond it blocks used longest ago make room, and their ranks are degraded',
  }),
  routerTtlSecs: number({
    default: 120,
    min: 0.1,
    env: 'DYN_ROUTER_TTL_SECS',
    placeholder: 'SECONDS',
    help: 'without events: how long a routed prompt counts as cached',
  }),
  routerPredictedTtlSecs: number({
    min: 0.1,
    env: 'DYN_ROUTER_PREDICTED_TTL_SECS',
    placeholder: 'SECONDS',
    help: 'with events: count a routed prompt as cached so long before its events arrive; off unless given',
  }),
  routerQuietSecs: number({
    default: 5,
    min: 0,
    placeholder: 'SECONDS',
    help: 'ask a worker whose events pause so long whether some were lost; 0: never',
  }),
  routerEagle: flag({ help: 'engines publish pairs of neighbouring tokens in their events (EAGLE drafts)' }),
  routerTrackActiveBlocks: flag({
    default: true,
    env: 'DYN_ROUTER_TRACK_ACTIVE_BLOCKS',
    help: 'count blocks of active requests',
  }),
  routerTrackOutputBlocks: flag({
    env: 'DYN_ROUTER_TRACK_OUTPUT_BLOCKS',
    help: 'count blocks of generated tokens too',
  }),
  routerTrackPrefillTokens: flag({
    default: true,
    env: 'DYN_ROUTER_TRACK_PREFILL_TOKENS',
    help: 'count prompt tokens that workers have yet to compute',
  }),
  routerAssumeKvReuse: flag({
    default: true,
    env: 'DYN_ROUTER_ASSUME_KV_REUSE',
    help: 'active requests with a common prefix share its blocks',
  }),
  routerPrefillLoadModel: choice({
    choices: ['none', 'aic', 'learned'],
    default: 'none',
    env: 'DYN_ROUTER_PREFILL_LOAD_MODEL',
    help: 'how prefill backlogs shrink with time: not, by the performance model, or as first tokens have shown',
  }),
  routerActiveRequestExpirySecs: number({
    default: 300,
    min: 1,
    env: 'DYN_ROUTER_ACTIVE_REQUEST_EXPIRY_SECS',
    placeholder: 'SECONDS',
    help: 'free a request that showed no sign of life so long',
  }),
};

/** When requests wait, and when workers are left out. */
const OVERLOAD_SETTINGS = {
  routerQueueThreshold: number({
    min: 0,
    env: 'DYN_ROUTER_QUEUE_THRESHOLD',
    help: 'requests wait while every worker has more prompt tokens to compute than this times what it computes in one pass; off unless given',
  }),
  routerQueuePolicy: choice({
    choices: QUEUE_POLICIES,
    default: 'fcfs',
    env: 'DYN_ROUTER_QUEUE_POLICY',
    help: 'order of waiting requests',
  }),
  routerPolicyConfig: text({
    env: 'DYN_ROUTER_POLICY_CONFIG',
    placeholder: 'FILE',
    help: 'YAML file with classes of requests, their queues, limits and shares; replaces the two above',
  }),
  activeDecodeBlocksThreshold: number({
    min: 0,
    max: 1,
    env: 'DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD',
    help: 'a worker is overloaded above this share of its KV blocks; off unless given',
  }),
  activePrefillTokensThreshold: int({
    min: 0,
    env: 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD',
    help: 'a worker is overloaded above so many prompt tokens to compute; off unless given',
  }),
  activePrefillTokensThresholdFrac: number({
    min: 0,
    env: 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD_FRAC',
    help: 'the same, times the tokens that the engine computes in one pass; off unless given',
  }),
};

/** Routing flags of every process that routes: frontend, standalone router, `up`. */
export const ROUTER_SETTINGS = {
  ...ROUTING_SETTINGS,
  ...COST_SETTINGS,
  ...TRACKING_SETTINGS,
  ...OVERLOAD_SETTINGS,
};

/** What becomes of a request whose worker fails; read by who relays. */
export const MIGRATION_SETTINGS = {
  migrationLimit: int({
    default: 0,
    min: 0,
    env: 'DYN_MIGRATION_LIMIT',
    help: 'how often an answer that breaks off may be gone on with by another worker',
  }),
  migrationMaxSeqLen: int({
    min: 1,
    env: 'DYN_MIGRATION_MAX_SEQ_LEN',
    help: 'requests longer than this, prompt and answer so far, do not move',
  }),
};

/** What routers keep in files: read by who opens them. */
export const POLICY_FILE_SETTINGS = {
  policyStateFile: text({
    placeholder: 'FILE',
    help: 'keeps what a learning router mode knows across restarts',
  }),
  policyStateSecs: number({
    default: 60,
    min: 1,
    placeholder: 'SECONDS',
    help: 'how often it is written, besides at shutdown',
  }),
  decisionLogFile: text({
    placeholder: 'FILE',
    help: 'write every routing decision, with probabilities and outcome, as JSON lines',
  }),
  decisionLogMaxBytes: int({
    default: 128 * 1024 * 1024,
    min: 64 * 1024,
    placeholder: 'BYTES',
    help: 'size at which that file is moved to FILE.1, over the one before',
  }),
};

/** Several routers as one: read by who connects them. */
export const SCALE_OUT_SETTINGS = {
  serveIndexer: flag({
    env: 'DYN_SERVE_INDEXER',
    help: 'answer lookups of routers with --use-remote-indexer: POST /query and /query_by_hash',
  }),
  useRemoteIndexer: flag({
    env: 'DYN_USE_REMOTE_INDEXER',
    help: 'look up in an indexer service instead of an own index',
  }),
  remoteIndexer: text({
    placeholder: 'URL',
    help: 'that service: kvasir indexer, or a frontend with --serve-indexer; implies --use-remote-indexer',
  }),
  remoteIndexerTimeoutMs: int({
    default: 50,
    min: 1,
    placeholder: 'MS',
    help: 'a lookup that takes longer is given up, and the request routed by load',
  }),
  routerReplicaSync: flag({
    env: 'DYN_ROUTER_REPLICA_SYNC',
    help: 'share bookings with other routers of the same workers',
  }),
};

export type RouterSettings = SettingsOf<typeof ROUTER_SETTINGS>;
