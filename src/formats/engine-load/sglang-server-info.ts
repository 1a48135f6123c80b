import type { EngineFacts, EngineRole } from '../openai/model-card.ts';

type Json = Readonly<Record<string, unknown>>;

/** Reads SGLang's `GET /get_server_info`: all arguments of the server, and what its scheduler found out. */
export function readSglangServerInfo(body: unknown): EngineFacts {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return {};
  const info = body as Json;
  const pageSize = count(info.page_size);
  const tokens = count(info.max_total_num_tokens);
  const known = {
    blockSize: pageSize,
    dpSize: count(info.dp_size),
    role: roleOf(info.disaggregation_mode),
    kvEvents: eventsOf(info.kv_events_config, 'endpoint'),
    replay: eventsOf(info.kv_events_config, 'replay_endpoint'),
    totalKvBlocks: pageSize === undefined || tokens === undefined ? undefined : Math.floor(tokens / pageSize),
    maxNumSeqs: count(info.max_running_requests),
    maxNumBatchedTokens: count(info.chunked_prefill_size) ?? count(info.max_prefill_tokens),
    bootstrapPort:
      info.disaggregation_mode === 'prefill' ? count(info.disaggregation_bootstrap_port) : undefined,
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

function roleOf(mode: unknown): EngineRole | undefined {
  return mode === 'prefill' || mode === 'decode' ? mode : undefined;
}

/** An address where others can connect; the configuration is JSON in a text, or an object. */
function eventsOf(config: unknown, key: string): string | undefined {
  let parsed: unknown = config;
  try {
    if (typeof config === 'string') parsed = JSON.parse(config);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { publisher, [key]: address } = parsed as Json;
  if (publisher !== 'zmq' || typeof address !== 'string') return undefined;
  // To an address without a star the engine connects itself, and there is nobody to reach.
  return /^tcp:\/\/(\*|\[::\]):\d+$/.test(address) ? address : undefined;
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
}
