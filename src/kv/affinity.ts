import type { Clock } from '../base/clock.ts';
import type { WorkerKey } from './event.ts';

const MAX_SESSIONS = 65_536;
const MAX_ID_BYTES = 256;
const MAX_REAP_INTERVAL_MS = 30_000;

interface Binding {
  readonly key: WorkerKey;
  /** Requests of the session under way; while there are any it does not expire. */
  leases: number;
  idleSinceMs: number;
}

/** One request's hold on a binding. */
export interface AffinityLease {
  readonly sessionId: string;
  readonly binding: Binding;
}

/**
 * Keeps the requests of one session on one rank. The first request binds at once, so that those that come
 * while it runs follow it; if it fails, the binding goes with it. Bounded, with expiry when idle.
 */
export class SessionAffinity {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #bindings = new Map<string, Binding>();
  #lastReapMs: number;

  constructor(clock: Clock, ttlMs: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#lastReapMs = clock.nowMs();
  }

  get size(): number {
    return this.#bindings.size;
  }

  find(sessionId: string): WorkerKey | undefined {
    const binding = this.#bindings.get(sessionId);
    if (binding === undefined) return undefined;
    if (!this.#isExpired(binding)) return binding.key;
    this.#bindings.delete(sessionId);
    return undefined;
  }

  /** Binds the session, or holds its binding when it is the same; undefined when there is no room or the id is too long. */
  hold(sessionId: string, key: WorkerKey): AffinityLease | undefined {
    if (Buffer.byteLength(sessionId) > MAX_ID_BYTES) return undefined;
    this.#reapIfDue();
    let binding = this.#bindings.get(sessionId);
    if (binding === undefined || binding.key.workerId !== key.workerId || binding.key.dpRank !== key.dpRank) {
      if (binding === undefined && this.#bindings.size >= MAX_SESSIONS && !this.#makeRoom()) return undefined;
      binding = { key, leases: 0, idleSinceMs: 0 };
      this.#bindings.set(sessionId, binding);
    }
    binding.leases++;
    return { sessionId, binding };
  }

  /** Ends a hold: `keep` restarts the idle timer, `drop` forgets the session unless it has moved meanwhile. */
  release({ sessionId, binding }: AffinityLease, verdict: 'keep' | 'drop'): void {
    binding.leases--;
    binding.idleSinceMs = this.#clock.nowMs();
    if (verdict === 'drop' && this.#bindings.get(sessionId) === binding) this.#bindings.delete(sessionId);
  }

  #reapIfDue(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#lastReapMs < Math.min(this.#ttlMs, MAX_REAP_INTERVAL_MS)) return;
    this.#lastReapMs = nowMs;
    for (const [id, binding] of this.#bindings) if (this.#isExpired(binding)) this.#bindings.delete(id);
  }

  /** Drops the first idle binding, oldest bound first. */
  #makeRoom(): boolean {
    for (const [id, binding] of this.#bindings) {
      if (binding.leases > 0) continue;
      this.#bindings.delete(id);
      return true;
    }
    return false;
  }

  #isExpired(binding: Binding): boolean {
    return binding.leases === 0 && this.#clock.nowMs() - binding.idleSinceMs >= this.#ttlMs;
  }
}
