import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { ApiKey } from './api-key-file.ts';
import { KeyQuota, type LimitName } from './key-quota.ts';

interface KnownKey {
  readonly digest: Buffer;
  readonly quota: KeyQuota;
}

/** Who may ask: bearer keys, each with limits of its own. Secrets are kept as digests only. */
export class ApiKeys {
  readonly #known: readonly KnownKey[];
  readonly #quotas = new WeakMap<FastifyRequest, KeyQuota>();

  constructor(keys: readonly ApiKey[], clock: Clock, onLimited: (key: string, limit: LimitName) => void) {
    this.#known = keys.map((key) => ({
      digest: digest(key.secret),
      quota: new KeyQuota(key, clock, onLimited),
    }));
  }

  /** Guards all routes at and below the paths. Comparing takes the same time for all keys. */
  guard(app: FastifyInstance, paths: readonly string[]): void {
    app.addHook('onRequest', async (request) => {
      const path = request.url.split('?')[0] ?? '';
      if (!paths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))) return;
      const key = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim() ?? '';
      const given = digest(key);
      let found: KeyQuota | undefined;
      for (const known of this.#known) if (timingSafeEqual(known.digest, given)) found = known.quota;
      if (found === undefined) throw fail('KV_UNAUTHORIZED');
      this.#quotas.set(request, found);
    });
  }

  /** Of the key that a guarded request came with. */
  quotaOf(request: FastifyRequest): KeyQuota | undefined {
    return this.#quotas.get(request);
  }
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
