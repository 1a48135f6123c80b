import type { TransferSettings } from '../engine/engine-settings.ts';

/**
 * A request's part in disaggregated serving: `source` computes a prompt for another engine and says where it is,
 * `destination` fetches what another has computed.
 */
export type HandoffSide = 'none' | 'source' | 'destination';

/** Where another engine keeps the KV of a prompt, by vLLM's protocol. */
export interface RemoteKv {
  readonly engineId: string;
  readonly requestId: string;
  readonly host: string;
  readonly port: number;
}

/** Where SGLang's engines meet: the prefilling one's address, and a number that only this request has. */
export interface BootstrapRoom {
  readonly room: string;
  readonly host: string | undefined;
  readonly port: number | undefined;
}

/** Reads vLLM's `kv_transfer_params`, NIXL's and Mooncake's alike. */
export function handoffSide(params: Readonly<Record<string, unknown>> | null | undefined): HandoffSide {
  if (params?.do_remote_decode === true) return 'source';
  return params?.do_remote_prefill === true ? 'destination' : 'none';
}

/** Undefined unless all that is needed to fetch is there. */
export function remoteKv(params: Readonly<Record<string, unknown>> | null | undefined): RemoteKv | undefined {
  const { remote_engine_id, remote_request_id, remote_host, remote_port } = params ?? {};
  if (typeof remote_engine_id !== 'string' || typeof remote_request_id !== 'string') return undefined;
  if (typeof remote_host !== 'string' || !Number.isSafeInteger(remote_port)) return undefined;
  const [engineId, requestId] = [remote_engine_id, remote_request_id];
  return { engineId, requestId, host: remote_host, port: remote_port as number };
}

/** The host that SGLang's own health checks name: the engine pretends to have met somebody there. */
export const PRETENDED_HOST = '2.2.2.2';

/** Reads SGLang's fields; rooms beyond 2^53 lose digits here, in both engines alike. */
export function bootstrapRoom(body: Readonly<Record<string, unknown>>): BootstrapRoom | undefined {
  const { bootstrap_room: room, bootstrap_host: host, bootstrap_port: port } = body;
  if (typeof room !== 'number') return undefined;
  return {
    room: String(room),
    host: typeof host === 'string' ? host : undefined,
    port: Number.isSafeInteger(port) ? (port as number) : undefined,
  };
}

export interface HandoffSource {
  readonly engineId: string;
  readonly requestId: string;
  readonly host: string;
  readonly port: number;
  readonly promptTokens: number;
  readonly blockSize: number;
}

/** What the source answers, for the destination to be given verbatim; the block ids are pretended. */
export function handoffParams(source: HandoffSource): Readonly<Record<string, unknown>> {
  const { engineId, requestId, host, port, promptTokens, blockSize } = source;
  const blocks = Math.ceil(promptTokens / blockSize);
  return {
    do_remote_prefill: true,
    do_remote_decode: false,
    remote_block_ids: [Array.from({ length: blocks }, (_, block) => block + 1)],
    remote_engine_id: engineId,
    remote_request_id: requestId,
    remote_host: host,
    remote_port: port,
    tp_size: 1,
    remote_num_tokens: promptTokens,
  };
}

const BYTES_PER_GB = 1e9;

/** How long a prompt's KV takes from engine to engine, before any speed-up; 0 where its size or the link is unknown. */
export function transferMs(tokens: number, { kvBytesPerToken, bandwidthGBps }: TransferSettings): number {
  if (!kvBytesPerToken || !bandwidthGBps) return 0;
  return ((tokens * kvBytesPerToken) / (bandwidthGBps * BYTES_PER_GB)) * 1000;
}
