import { exponentialBuckets } from '../buckets.ts';
import { counter, gauge, histogram } from '../spec.ts';

const EXP_KVINDEXER = exponentialBuckets(0.0001, 2, 20);

/** The standalone indexer's HTTP service. */
export const KV_INDEXER = {
  requestDurationSeconds: histogram(
    'dynamo_kvindexer_request_duration_seconds',
    'HTTP request latency',
    EXP_KVINDEXER,
    ['endpoint'],
    { since: '1.1.0' },
  ),
  requestsTotal: counter('dynamo_kvindexer_requests_total', 'Total HTTP requests', ['endpoint', 'method'], {
    since: '1.1.0',
  }),
  errorsTotal: counter(
    'dynamo_kvindexer_errors_total',
    'HTTP error responses (4xx/5xx)',
    ['endpoint', 'status_class'],
    { since: '1.1.0' },
  ),
  models: gauge('dynamo_kvindexer_models', 'Number of active model+routing-group indexers', [], {
    since: '1.1.0',
  }),
  workers: gauge('dynamo_kvindexer_workers', 'Number of registered worker instances', [], { since: '1.1.0' }),
  listeners: gauge('dynamo_kvindexer_listeners', 'Number of ZMQ listeners by status', ['status'], {
    since: '1.1.0',
  }),
} as const;

/** The router's families of events under the prefix of its services. */
export const KV_INDEXER_EVENTS = {
  eventsApplied: counter(
    'dynamo_kvrouter_kv_cache_events_applied',
    'Total number of KV cache events applied to index',
    ['event_type', 'status'],
    { since: '1.1.0' },
  ),
  eventWarnings: counter(
    'dynamo_kvrouter_kv_cache_event_warnings',
    'Total number of suspicious KV cache events seen by the router indexer',
    ['warning_kind'],
    { since: '1.2.0' },
  ),
} as const;
