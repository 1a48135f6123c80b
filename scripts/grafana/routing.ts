import { type Dashboard, quantiles } from './dashboard.ts';

const rate = (family: string): string => `rate(${family}[$__rate_interval])`;

/** Where requests go and why, what that costs, and how right the router is about the caches. */
export const ROUTING: Dashboard = {
  uid: 'kvasir-routing',
  title: 'Kvasir: routing',
  description:
    'What a routing decision costs, how far its picture of the caches can be trusted, and how the load is spread.',
  rows: [
    {
      title: 'Is it right?',
      panels: [
        {
          title: 'Ranks by state',
          help: 'exact: the index holds just what the engine holds. degraded: events were lost and not recovered. approximate: no events, the router guesses.',
          kind: 'timeseries',
          unit: 'none',
          stacked: true,
          targets: [{ legend: '{{state}}', expr: 'sum by (state) (kvasir_index_rank_state)' }],
        },
        {
          title: 'Cached tokens, foreseen and found',
          help: 'The lines lie upon each other when the router is right.',
          kind: 'timeseries',
          unit: 'short',
          targets: [
            { legend: 'predicted', expr: `sum(${rate('kvasir_router_predicted_cached_tokens_total')})` },
            { legend: 'reported', expr: `sum(${rate('kvasir_router_reported_cached_tokens_total')})` },
          ],
        },
        {
          title: 'Error of predictions',
          help: 'Distance of predicted from reported cached tokens, as a share of the prompt.',
          kind: 'timeseries',
          unit: 'percentunit',
          targets: quantiles('kvasir_router_prediction_error_ratio', '', [0.5, 0.99]),
        },
        {
          title: 'Age of the latest event',
          help: 'A worker under load that says nothing for long has lost its event stream.',
          kind: 'timeseries',
          unit: 's',
          targets: [
            {
              legend: '{{worker}}/{{dp_rank}}',
              expr: 'max by (worker, dp_rank) (kvasir_index_rank_event_age_seconds)',
            },
          ],
        },
        {
          title: 'Gaps in event streams',
          help: 'Breaks in the numbering of batches, and batches missed by them. They are mended by replay or snapshot.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: 'gaps',
              expr: `sum(${rate('kvasir_index_event_gaps_total')})`,
              quiet: 'no event is lost',
            },
            {
              legend: 'missed batches',
              expr: `sum(${rate('kvasir_index_missed_batches_total')})`,
              quiet: 'no event is lost',
            },
          ],
        },
        {
          title: 'Events applied',
          help: 'Events per second by kind and outcome; anything but ok deserves a look.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: '{{event_type}} {{status}}',
              expr: `sum by (event_type, status) (${rate('dynamo_component_kv_cache_events_applied')})`,
            },
          ],
        },
      ],
    },
    {
      title: 'What it costs',
      panels: [
        {
          title: 'Time of a decision',
          help: 'All phases together. It should stay below a millisecond.',
          kind: 'timeseries',
          unit: 'ms',
          targets: quantiles('dynamo_router_overhead_total_ms', '', [0.5, 0.99]),
        },
        {
          title: 'Time by phase, p99',
          help: 'Hashing of blocks, look-up in the index, hashing of sequences, choice.',
          kind: 'timeseries',
          unit: 'ms',
          targets: ['block_hashing', 'indexer_find_matches', 'seq_hashing', 'scheduling'].map((phase) => ({
            legend: phase,
            expr: `histogram_quantile(0.99, sum by (le) (${rate(`dynamo_router_overhead_${phase}_ms_bucket`)}))`,
          })),
        },
        {
          title: 'Operations of the index',
          help: 'Look-ups and applied events per second.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: '{{operation}}',
              expr: `sum by (operation) (${rate('kvasir_index_operations_total')})`,
            },
          ],
        },
        {
          title: 'Time of an operation',
          help: 'Mean, by kind.',
          kind: 'timeseries',
          unit: 's',
          targets: [
            {
              legend: '{{operation}}',
              expr: `sum by (operation) (${rate('kvasir_index_operation_seconds_total')}) / (sum by (operation) (${rate('kvasir_index_operations_total')}) > 0)`,
            },
          ],
        },
        {
          title: 'Index',
          help: 'Distinct blocks, and pairs of block and rank. Evictions mean that the memory limit is too low for the fleet.',
          kind: 'timeseries',
          unit: 'short',
          targets: [
            { legend: 'blocks', expr: 'sum(kvasir_index_blocks)' },
            { legend: 'resident', expr: 'sum(kvasir_index_resident_blocks)' },
            { legend: 'evicted per second', expr: `sum(${rate('kvasir_index_evicted_blocks_total')})` },
          ],
        },
        {
          title: 'Memory of the index',
          help: 'Bytes of WebAssembly memory.',
          kind: 'timeseries',
          unit: 'bytes',
          targets: [{ legend: 'bytes', expr: 'sum(kvasir_index_memory_bytes)' }],
        },
        {
          title: 'Router queue',
          help: 'Requests held back because every worker is busy.',
          kind: 'timeseries',
          unit: 'none',
          targets: [
            {
              legend: '{{policy_class}} {{worker_type}}',
              expr: 'sum by (policy_class, worker_type) (dynamo_frontend_router_queue_pending_requests)',
            },
          ],
        },
        {
          title: 'Wait in the router queue',
          help: 'Of requests that had to wait.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('kvasir_router_queue_wait_seconds', '', [0.5, 0.99]).map((target) => ({
            ...target,
            quiet: 'nothing has to wait',
          })),
        },
        {
          title: 'Event loop',
          help: 'Share of time in which the frontend was busy. Near 1 it is the bottleneck: run another one beside it.',
          kind: 'timeseries',
          unit: 'percentunit',
          max: 1,
          targets: [{ legend: '{{instance}}', expr: 'kvasir_event_loop_utilization_ratio' }],
        },
      ],
    },
    {
      title: 'Where requests go',
      panels: [
        {
          title: 'Predicted hit rate',
          help: 'Share of a prompt that the chosen worker was expected to have.',
          kind: 'timeseries',
          unit: 'percentunit',
          max: 1,
          targets: quantiles('dynamo_component_router_kv_hit_rate', '', [0.5, 0.9]),
        },
        {
          title: 'Decode blocks by worker',
          help: 'Blocks of the requests that were routed to each worker and have not ended.',
          kind: 'timeseries',
          unit: 'none',
          targets: [
            {
              legend: '{{worker_id}}/{{dp_rank}}',
              expr: 'sum by (worker_id, dp_rank) (dynamo_frontend_worker_active_decode_blocks)',
            },
          ],
        },
        {
          title: 'Prefill tokens by worker',
          help: 'Prompt tokens that each worker has still to compute.',
          kind: 'timeseries',
          unit: 'short',
          targets: [
            {
              legend: '{{worker_id}}/{{dp_rank}}',
              expr: 'sum by (worker_id, dp_rank) (dynamo_frontend_worker_active_prefill_tokens)',
            },
          ],
        },
        {
          title: 'Agent hints',
          help: 'Requests with hints, by where these came from.',
          kind: 'timeseries',
          unit: 'reqps',
          targets: [
            {
              legend: '{{source}}',
              expr: `sum by (source) (${rate('kvasir_frontend_agent_hints_total')})`,
              quiet: 'no agent calls',
            },
          ],
        },
      ],
    },
  ],
};
