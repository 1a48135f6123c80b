import type { Random } from '../base/random.ts';
import type { WorkerInstance } from '../transport/discovery.ts';

/** What asks a vLLM worker to keep the blocks of a prompt for another one (its NIXL connector). */
export const NIXL_PREFILL = {
  kv_transfer_params: {
    do_remote_decode: true,
    do_remote_prefill: false,
    remote_engine_id: null,
    remote_block_ids: null,
    remote_host: null,
    remote_port: null,
  },
};

/** Fields that make no sense for one token that nobody sees. */
const DROPPED = ['stream_options', 'min_tokens', 'min_completion_tokens'];
const MAX_ROOM = 2 ** 48;

/** The client's body as a request for the prompt alone: one token, in one piece. */
export function handoffBody(
  body: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, unknown>>,
): Buffer {
  const kept = Object.fromEntries(Object.entries(body).filter(([name]) => !DROPPED.includes(name)));
  const limits = 'max_completion_tokens' in body ? { max_completion_tokens: 1 } : {};
  return Buffer.from(JSON.stringify({ ...kept, max_tokens: 1, stream: false, ...limits, ...fields }));
}

/** Where SGLang's workers meet; the room's remainder by the number of ranks is the rank. */
export function bootstrapFields(
  { url, dpSize, bootstrapPort }: WorkerInstance,
  dpRank: number,
  random: Random,
): Readonly<Record<string, unknown>> {
  const draw = random.nextInt(MAX_ROOM);
  return {
    bootstrap_host: new URL(url).hostname,
    bootstrap_port: bootstrapPort ?? null,
    bootstrap_room: draw - (draw % dpSize) + dpRank,
  };
}
