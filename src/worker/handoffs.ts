import type { FastifyInstance } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { EngineOptions } from '../engine/engine-settings.ts';
import type { EngineRole } from '../formats/openai/model-card.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { fetchHandoff, type LoadFailurePolicy } from './fetch-handoff.ts';
import type { GenerationRequest } from './generation-request.ts';
import { PRETENDED_HOST } from './handoff.ts';
import { HandoffDesk } from './handoff-desk.ts';

export interface HandoffsOptions {
  readonly clock: Clock;
  readonly client: HttpClient;
  readonly role: EngineRole;
  readonly backend: EngineOptions['backend'];
  readonly policy: LoadFailurePolicy;
  /** As other engines know this one. */
  readonly engineId: () => string;
  /** A prompt's KV could not be fetched. */
  readonly onFailed: (tokens: number) => void;
  readonly onExpired: () => void;
}

/** A simulated engine's part in hand-overs of KV: insists on the protocol of the engine that it simulates. */
export class Handoffs {
  readonly #options: HandoffsOptions;
  readonly #desk: HandoffDesk;

  constructor(options: HandoffsOptions) {
    this.#options = options;
    const { clock, onExpired } = options;
    this.#desk = new HandoffDesk({ clock, onExpired });
  }

  /** Whether both sides get a request at once and meet, as SGLang's do. */
  get meets(): boolean {
    const { role, backend } = this.#options;
    return backend === 'sglang' && role !== 'both';
  }

  /** Where the other side claims what is kept here. */
  addRoutes(app: FastifyInstance): void {
    app.post<{ Body: { request_id?: unknown; room?: unknown } | null }>(
      '/kv/handoff',
      async (request, reply) => {
        const { request_id: name, room } = request.body ?? {};
        reply.raw.once('close', () => {
          if (typeof room === 'string' && !reply.raw.writableEnded) this.#desk.leave(inRoom(room));
        });
        const tokens =
          typeof room === 'string' ? await this.#desk.meet(inRoom(room)) : this.#desk.take(String(name));
        if (tokens !== undefined) return { engine_id: this.#options.engineId(), tokens };
        throw fail('KV_HANDOFF_UNKNOWN', { name: String(name ?? room) });
      },
    );
  }

  /** Fetches what another engine has computed of the prompt; throws what is wrong with the request. */
  async before(generation: GenerationRequest, signal: AbortSignal): Promise<GenerationRequest> {
    const { client, policy, onFailed, role } = this.#options;
    if (!this.meets)
      return fetchHandoff({ ...generation, room: undefined }, { client, policy, onFailed, signal });
    if (generation.room === undefined)
      throw fail('KV_REQUEST_INVALID', {
        param: 'bootstrap_room',
        reason: `bootstrap_room: a ${role} engine serves only requests that say where to meet the other one`,
        mend: 'Send them through a router for disaggregated serving.',
      });
    if (generation.room.host === PRETENDED_HOST) return { ...generation, room: undefined };
    if (role === 'decode') return fetchHandoff(generation, { client, policy, onFailed, signal });
    return { ...generation, maxTokens: 1, minTokens: 0, stream: false };
  }

  /** Keeps the KV of an answered prompt for the other engine; in a room, until it was there. */
  async after({ handoff, prompts, choices, room }: GenerationRequest, requestId: string): Promise<void> {
    const tokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    if (this.meets && this.#options.role === 'prefill' && room !== undefined) {
      const fetched = await new Promise<boolean>((settled) =>
        this.#desk.offer(inRoom(room.room), tokens, settled),
      );
      if (!fetched)
        throw fail('KV_HANDOFF_FAILED', { url: 'this engine', reason: 'the decoding engine did not come' });
    } else if (handoff === 'source' && prompts.length * choices === 1) this.#desk.offer(requestId, tokens);
  }

  stop(): void {
    this.#desk.stop();
  }
}

function inRoom(room: string): string {
  return `room ${room}`;
}
