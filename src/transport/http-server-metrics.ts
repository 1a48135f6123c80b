import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';

const compress = promisify(gzip);
/** A rendered exposition, in the format that the scraper's `Accept` header asks for. */
export interface Exposition {
  readonly contentType: string;
  /** UTF-8. */
  readonly body: Buffer;
}

/** Serves an exposition at `path`, gzipped for scrapers that ask for it. `scrape` is called each time. */
export function serveMetrics(
  app: FastifyInstance,
  path: string,
  scrape: (accept: string | undefined) => Exposition | Promise<Exposition>,
): void {
  app.get(path, async (request, reply) => {
    const { contentType, body } = await scrape(request.headers.accept);
    void reply.type(contentType).header('vary', 'accept, accept-encoding');
    if (!acceptsGzip(request.headers['accept-encoding'])) return reply.send(body);
    return reply.header('content-encoding', 'gzip').send(await compress(body));
  });
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = String(header ?? '').split(',');
  return codings.some((coding) => /^\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*$)[\d.]+\s*)?$/i.test(coding));
}
