import { counter, gauge, histogram } from '../spec.ts';

const PY_DEFAULT = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** The Thompson-sampling processor; no hierarchy labels. */
export const THOMPSON = {
  requestsTotal: counter(
    'dynamo_component_thompson_requests_total',
    'Total requests processed by the Thompson Sampling processor',
  ),
  requestLatencySeconds: histogram(
    'dynamo_component_thompson_request_latency_seconds',
    'End-to-end request latency in seconds',
    PY_DEFAULT,
  ),
  tokensInTotal: counter('dynamo_component_thompson_tokens_in_total', 'Total input tokens processed'),
  tokensOutTotal: counter('dynamo_component_thompson_tokens_out_total', 'Total output tokens generated'),
  routingDecisionsTotal: counter(
    'dynamo_component_thompson_routing_decisions_total',
    'Routing decisions by worker',
    ['worker_id'],
  ),
  routerErrorsTotal: counter(
    'dynamo_component_thompson_router_errors_total',
    'Router communication errors (failed to pick worker)',
  ),
  engineErrorsTotal: counter(
    'dynamo_component_thompson_engine_errors_total',
    'Backend engine errors (failed during streaming)',
  ),
  activeRequests: gauge(
    'dynamo_component_thompson_active_requests',
    'Currently active requests being processed',
  ),
  kvePromptTokensTotal: counter(
    'dynamo_component_thompson_kve_prompt_tokens_total',
    'Total prompt tokens processed (KV efficiency denominator)',
  ),
  kveCachedTokensTotal: counter(
    'dynamo_component_thompson_kve_cached_tokens_total',
    'Total cached tokens hit (KV efficiency numerator)',
  ),
  kveDeviceBlocksTotal: counter(
    'dynamo_component_thompson_kve_device_blocks_total',
    'KV cache blocks hit from device (GPU) memory',
  ),
  kveHostBlocksTotal: counter(
    'dynamo_component_thompson_kve_host_blocks_total',
    'KV cache blocks hit from host (CPU) memory',
  ),
  kveDiskBlocksTotal: counter(
    'dynamo_component_thompson_kve_disk_blocks_total',
    'KV cache blocks hit from disk storage',
  ),
} as const;

const FEEDBACK_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const REUSE_BUDGETS = [0, 1, 2, 5, 10, 20, 50, 100];
const PROMPT_TOKENS = [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

/** The router of the pair; the reference defines these and never shows them. */
export const THOMPSON_ROUTER = {
  decisionsTotal: counter('thompson_router_decisions_total', 'Total routing decisions by worker', [
    'worker_id',
  ]),
  kvOverlap: gauge('thompson_router_kv_overlap', 'KV cache overlap score for last decision by worker', [
    'worker_id',
  ]),
  feedbackLatencySeconds: histogram(
    'thompson_router_feedback_latency_seconds',
    'Latency from feedback by worker',
    FEEDBACK_S,
    ['worker_id'],
  ),
  reward: gauge('thompson_router_reward', 'Last computed reward by worker', ['worker_id']),
  pendingDecisions: gauge(
    'thompson_router_pending_decisions',
    'Number of pending decisions awaiting feedback',
  ),
  timeoutPenaltiesTotal: counter(
    'thompson_router_timeout_penalties_total',
    'Total timeout penalties applied',
  ),
  stickyDecisionsTotal: counter(
    'thompson_router_sticky_decisions_total',
    'Decisions that stayed on the same worker (sticky)',
  ),
  switchDecisionsTotal: counter(
    'thompson_router_switch_decisions_total',
    'Decisions that switched to a different worker',
  ),
  betaAlpha: gauge('thompson_router_beta_alpha', 'Beta distribution alpha parameter by worker', [
    'worker_id',
  ]),
  betaBeta: gauge('thompson_router_beta_beta', 'Beta distribution beta parameter by worker', ['worker_id']),
  prefixStateSize: gauge('thompson_router_prefix_state_size', 'Number of active prefix states'),
  reuseBudget: histogram(
    'thompson_router_reuse_budget',
    'Distribution of reuse_budget values',
    REUSE_BUDGETS,
  ),
  tokensPerRequest: histogram(
    'thompson_router_tokens_per_request',
    'Distribution of input token counts',
    PROMPT_TOKENS,
  ),
} as const;
