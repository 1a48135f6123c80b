import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { fail } from '../base/errors.ts';

/** Keys of a key file: one a line; blank lines and lines that begin with `#` are skipped. */
export function parseApiKeys(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Guards all routes below `/v1` and the others named, with bearer keys. Comparing takes the same time for all. */
export function requireApiKey(
  app: FastifyInstance,
  keys: readonly string[],
  guarded: readonly string[],
): void {
  const digests = keys.map(digest);
  app.addHook('onRequest', async (request) => {
    const path = request.url.split('?')[0] ?? '';
    if (!guarded.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))) return;
    const key = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim() ?? '';
    const given = digest(key);
    let known = false;
    for (const each of digests) known = timingSafeEqual(each, given) || known;
    if (!known) throw fail('KV_UNAUTHORIZED');
  });
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
