import { counter, gauge, histogram } from './spec.ts';

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
