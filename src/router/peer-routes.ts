import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { check } from './request-schemas.ts';
import { done } from './service-server.ts';

const peer = z.looseObject({ url: z.string() });

/** A list of other services that can be changed. */
export interface PeerList {
  list(): readonly string[];
  /** Whether it is new. */
  add(url: string): boolean;
  /** Whether it was there. */
  remove(url: string): boolean;
}

/** `register_peer`, `deregister_peer` and `peers` below a prefix. */
export function addPeerRoutes(app: FastifyInstance, prefix: string, peers: PeerList): void {
  app.get(`${prefix}/peers`, async () => peers.list());
  app.post(`${prefix}/register_peer`, async ({ body }, reply) =>
    reply.code(peers.add(check(peer, body).url) ? 201 : 200).send(done()),
  );
  app.post(`${prefix}/deregister_peer`, async ({ body }) => {
    const { url } = check(peer, body);
    if (!peers.remove(url))
      throw fail('KV_RECORD_UNKNOWN', { what: 'peer', id: url, mend: `GET ${prefix}/peers lists them.` });
    return done();
  });
}
