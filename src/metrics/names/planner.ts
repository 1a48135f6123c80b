import { gauge } from '../spec.ts';

/** The planner's view; times in ms, as the planner thinks. */
export const PLANNER = {
  numPrefillReplicas: gauge('dynamo_planner_num_prefill_replicas', 'Current number of prefill replicas'),
  numDecodeReplicas: gauge('dynamo_planner_num_decode_replicas', 'Current number of decode replicas'),
  observedTtftMs: gauge('dynamo_planner_observed_ttft_ms', 'Observed time to first token (ms)'),
  observedItlMs: gauge('dynamo_planner_observed_itl_ms', 'Observed inter-token latency (ms)'),
  observedRequestsPerSecond: gauge(
    'dynamo_planner_observed_requests_per_second',
    'Observed request rate (req/s)',
  ),
  observedRequestDurationSeconds: gauge(
    'dynamo_planner_observed_request_duration_seconds',
    'Observed average request duration (seconds)',
  ),
  observedInputSequenceTokens: gauge(
    'dynamo_planner_observed_input_sequence_tokens',
    'Observed average input sequence length (tokens)',
  ),
  observedOutputSequenceTokens: gauge(
    'dynamo_planner_observed_output_sequence_tokens',
    'Observed average output sequence length (tokens)',
  ),
  predictedRequestsPerSecond: gauge(
    'dynamo_planner_predicted_requests_per_second',
    'Predicted request rate for next interval (req/s)',
  ),
  predictedInputSequenceTokens: gauge(
    'dynamo_planner_predicted_input_sequence_tokens',
    'Predicted input sequence length for next interval (tokens)',
  ),
  predictedOutputSequenceTokens: gauge(
    'dynamo_planner_predicted_output_sequence_tokens',
    'Predicted output sequence length for next interval (tokens)',
  ),
  predictedNumPrefillReplicas: gauge(
    'dynamo_planner_predicted_num_prefill_replicas',
    'Decided number of prefill replicas',
  ),
  predictedNumDecodeReplicas: gauge(
    'dynamo_planner_predicted_num_decode_replicas',
    'Decided number of decode replicas',
  ),
  gpuHours: gauge('dynamo_planner_gpu_hours', 'Cumulative GPU hours consumed'),
  slaTargetTtftMs: gauge(
    'dynamo_planner_sla_target_ttft_ms',
    'Configured SLA target for time to first token (ms)',
    [],
    { since: '1.3.0' },
  ),
  slaTargetItlMs: gauge(
    'dynamo_planner_sla_target_itl_ms',
    'Configured SLA target for inter-token latency (ms)',
    [],
    { since: '1.3.0' },
  ),
  estimatedTtftMs: gauge(
    'dynamo_planner_estimated_ttft_ms',
    'Max estimated TTFT from regression across engines (ms)',
  ),
  estimatedItlMs: gauge(
    'dynamo_planner_estimated_itl_ms',
    'Max estimated ITL from regression across engines (ms)',
  ),
  enginePrefillCapacityRequestsPerSecond: gauge(
    'dynamo_planner_engine_prefill_capacity_requests_per_second',
    'Single prefill engine capacity under SLA (req/s)',
  ),
  engineDecodeCapacityRequestsPerSecond: gauge(
    'dynamo_planner_engine_decode_capacity_requests_per_second',
    'Single decode engine capacity under SLA (req/s)',
  ),
  loadScalingDecision: gauge(
    'dynamo_planner_load_scaling_decision',
    'Load-based scaling decision reason',
    ['dynamo_planner_load_scaling_decision'],
    { since: '1.1.0' },
  ),
  throughputScalingDecision: gauge(
    'dynamo_planner_throughput_scaling_decision',
    'Throughput-based scaling decision reason',
    ['dynamo_planner_throughput_scaling_decision'],
    { since: '1.1.0' },
  ),
  engineQueuedPrefillTokens: gauge(
    'dynamo_planner_engine_queued_prefill_tokens',
    'Queued prefill tokens per engine (from FPM)',
    ['dp_rank', 'worker_id'],
    { since: '1.1.0' },
  ),
  engineQueuedDecodeKvTokens: gauge(
    'dynamo_planner_engine_queued_decode_kv_tokens',
    'Queued decode KV tokens per engine (from FPM)',
    ['dp_rank', 'worker_id'],
    { since: '1.1.0' },
  ),
  engineInflightDecodeKvTokens: gauge(
    'dynamo_planner_engine_inflight_decode_kv_tokens',
    'Inflight (scheduled) decode KV tokens per engine (from FPM)',
    ['dp_rank', 'worker_id'],
    { since: '1.1.0' },
  ),
} as const;
