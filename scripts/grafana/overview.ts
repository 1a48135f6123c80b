import { type Dashboard, quantiles } from './dashboard.ts';

const MODEL = '{model=~"$model"}';
const rate = (family: string, matchers = MODEL): string => `rate(${family}${matchers}[$__rate_interval])`;

/** What users feel, and the three numbers that matter most: KV efficiency, TTFT, ITL. */
export const OVERVIEW: Dashboard = {
  uid: 'kvasir-overview',
  title: 'Kvasir: overview',
  description:
    'KV efficiency, time to first token, inter-token latency and traffic of a fleet, as its frontend sees them.',
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'KV efficiency',
          help: 'Cached over prompt tokens of the requests that ended. Low with repeating prompts: caches too small, or routing that scatters them.',
          kind: 'stat',
          unit: 'percentunit',
          max: 1,
          thresholds: [
            [null, 'red'],
            [0.2, 'orange'],
            [0.5, 'green'],
          ],
          targets: [
            {
              legend: 'KVE',
              expr: `sum(${rate('dynamo_frontend_cached_tokens_sum')}) / sum(${rate('dynamo_frontend_input_sequence_tokens_sum')})`,
            },
          ],
        },
        {
          title: 'TTFT p95',
          help: 'Time to first token that one request in twenty exceeds.',
          kind: 'stat',
          unit: 's',
          thresholds: [
            [null, 'green'],
            [1, 'orange'],
            [5, 'red'],
          ],
          targets: quantiles('dynamo_frontend_time_to_first_token_seconds', MODEL, [0.95]),
        },
        {
          title: 'ITL p95',
          help: 'Time between tokens that one token in twenty exceeds.',
          kind: 'stat',
          unit: 's',
          thresholds: [
            [null, 'green'],
            [0.05, 'orange'],
            [0.2, 'red'],
          ],
          targets: quantiles('dynamo_frontend_inter_token_latency_seconds', MODEL, [0.95]),
        },
        {
          title: 'Requests',
          help: 'Requests that ended, per second.',
          kind: 'stat',
          unit: 'reqps',
          targets: [{ legend: 'ended', expr: `sum(${rate('dynamo_frontend_requests_total')})` }],
        },
        {
          title: 'Output',
          help: 'Tokens generated per second.',
          kind: 'stat',
          unit: 'short',
          targets: [{ legend: 'tokens/s', expr: `sum(${rate('dynamo_frontend_output_tokens_total')})` }],
        },
        {
          title: 'In flight',
          help: 'Requests whose answer has not ended.',
          kind: 'stat',
          unit: 'none',
          targets: [{ legend: 'requests', expr: `sum(dynamo_frontend_inflight_requests${MODEL})` }],
        },
      ],
    },
    {
      title: 'Latency',
      panels: [
        {
          title: 'Time to first token',
          help: 'Queueing, routing and prefill. It falls as KV efficiency rises.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('dynamo_frontend_time_to_first_token_seconds', MODEL, [0.5, 0.95, 0.99]),
        },
        {
          title: 'Inter-token latency',
          help: 'Pace of the stream once it has begun. It rises with the batch and with prefills in between.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('dynamo_frontend_inter_token_latency_seconds', MODEL, [0.5, 0.95, 0.99]),
        },
        {
          title: 'Whole request',
          help: 'From the handler to the last byte.',
          kind: 'timeseries',
          unit: 's',
          targets: quantiles('dynamo_frontend_request_duration_seconds', MODEL, [0.5, 0.95]),
        },
      ],
    },
    {
      title: 'Traffic',
      panels: [
        {
          title: 'KV efficiency by model',
          help: 'Cached over prompt tokens.',
          kind: 'timeseries',
          unit: 'percentunit',
          max: 1,
          targets: [
            {
              legend: '{{model}}',
              expr: `sum by (model) (${rate('dynamo_frontend_cached_tokens_sum')}) / sum by (model) (${rate('dynamo_frontend_input_sequence_tokens_sum')})`,
            },
          ],
        },
        {
          title: 'Tokens',
          help: 'Prompt tokens, those of them that were cached, and output tokens, per second.',
          kind: 'timeseries',
          unit: 'short',
          targets: [
            { legend: 'prompt', expr: `sum(${rate('dynamo_frontend_input_sequence_tokens_sum')})` },
            { legend: 'cached', expr: `sum(${rate('dynamo_frontend_cached_tokens_sum')})` },
            { legend: 'output', expr: `sum(${rate('dynamo_frontend_output_tokens_total')})` },
          ],
        },
        {
          title: 'In flight and queued',
          help: 'Queued requests have been accepted and have no token yet.',
          kind: 'timeseries',
          unit: 'none',
          targets: [
            { legend: 'in flight', expr: `sum(dynamo_frontend_inflight_requests${MODEL})` },
            { legend: 'queued', expr: `sum(dynamo_frontend_queued_requests${MODEL})` },
          ],
        },
        {
          title: 'Outcomes',
          help: 'Requests per second by how they ended.',
          kind: 'timeseries',
          unit: 'reqps',
          stacked: true,
          targets: [
            {
              legend: '{{status}} {{error_type}}',
              expr: `sum by (status, error_type) (${rate('dynamo_frontend_requests_total')})`,
            },
          ],
        },
        {
          title: 'Migrations',
          help: 'Requests that another worker took over, before their first token or in the middle of an answer.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            {
              legend: '{{migration_type}}',
              expr: `sum by (migration_type) (${rate('dynamo_frontend_model_migration_total')})`,
              quiet: 'no worker fails',
            },
          ],
        },
        {
          title: 'Clients that left',
          help: 'Clients that closed their connection before their answer ended.',
          kind: 'timeseries',
          unit: 'ops',
          targets: [
            { legend: 'per second', expr: `${rate('kvasir_frontend_client_disconnects_total', '')}` },
          ],
        },
      ],
    },
  ],
};
