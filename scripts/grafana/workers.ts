import { type Dashboard, quantiles, type Target } from './dashboard.ts';

const rate = (family: string): string => `rate(${family}[$__rate_interval])`;
const NO_TRANSFER = 'prefill and decode are not apart';

/** A line per engine: `instance` is the scraped address. */
function each(family: string): Target {
  return { legend: '{{instance}}', expr: family };
}

/** What each engine does: its cache, its batch, and the KV cache that it sends to others. */
export const WORKERS: Dashboard = {
  uid: 'kvasir-workers',
  title: 'Kvasir: workers',
  description:
    'Caches, batches and KV transfers of the engines. vLLM’s own names; other engines have the dynamo_component ones.',
  rows: [
    {
      title: 'Cache',
      panels: [
        {
          title: 'KV cache in use',
          help: 'Near 1 requests wait or are preempted.',
          kind: 'timeseries',
          unit: 'percentunit',
          max: 1,
          targets: [each('dynamo_component_kvstats_gpu_cache_usage_percent')],
        },
        {
          title: 'Prefix hit rate',
          help: 'As the engine reckons it over its latest requests.',
          kind: 'timeseries',
          unit: 'percentunit',
          max: 1,
          targets: [each('dynamo_component_kvstats_gpu_prefix_cache_hit_rate')],
        },
        {
          title: 'Blocks in use',
          help: 'Of those that the engine has in all.',
          kind: 'timeseries',
          unit: 'none',
          targets: [
            each('dynamo_component_kvstats_active_blocks'),
            { legend: '{{instance}} in all', expr: 'dynamo_component_kvstats_total_blocks' },
          ],
        },
      ],
    },
    {
      title: 'Work',
      panels: [
        {
          title: 'Running',
          help: 'Requests in the batch.',
          kind: 'timeseries',
          unit: 'none',
          targets: [each('vllm:num_requests_running')],
        },
        {
          title: 'Waiting',
          help: 'Requests that the engine has accepted and not begun.',
          kind: 'timeseries',
          unit: 'none',
          targets: [each('vllm:num_requests_waiting')],
        },
        {
          title: 'Preemptions',
          help: 'Requests thrown out of the batch because blocks ran out; their work is done again.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [each(rate('vllm:num_preemptions_total'))],
        },
        {
          title: 'Tokens generated',
          help: 'Per second and engine.',
          kind: 'timeseries',
          unit: 'short',
          stacked: true,
          targets: [each(rate('vllm:generation_tokens_total'))],
        },
        {
          title: 'Time of a request, p95',
          help: 'In the work handler, by component.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('dynamo_component_request_duration_seconds', '', [0.95], 'dynamo_component'),
        },
        {
          title: 'Errors',
          help: 'Requests that the worker failed, by kind.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: '{{error_type}}',
              expr: `sum by (error_type) (${rate('dynamo_component_errors_total')})`,
              quiet: 'no worker fails',
            },
          ],
        },
      ],
    },
    {
      title: 'KV transfers',
      panels: [
        {
          title: 'Time of a transfer',
          help: 'From prefill to decode worker, over any connector’s NIXL.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('vllm:nixl_xfer_time_seconds', '', [0.5, 0.95]).map((target) => ({
            ...target,
            quiet: NO_TRANSFER,
          })),
        },
        {
          title: 'Bytes transferred',
          help: 'Per second, by connector.',
          kind: 'timeseries',
          unit: 'Bps',
          targets: [
            {
              legend: '{{connector}}',
              expr: `sum by (connector) (${rate('kvasir_kv_connector_bytes_total')})`,
              quiet: NO_TRANSFER,
            },
          ],
        },
        {
          title: 'Failures',
          help: 'Transfers, notifications and leases that failed.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: '{{connector}} {{kind}}',
              expr: `sum by (connector, kind) (${rate('kvasir_kv_connector_failures_total')})`,
              quiet: NO_TRANSFER,
            },
          ],
        },
      ],
    },
  ],
};
