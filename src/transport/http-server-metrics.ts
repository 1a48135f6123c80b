import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';

const compress = promisify(gzip);
export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

/** Serves a text exposition at `path`, gzipped for scrapers that ask for it. `render` is called per scrape. */
export function serveMetrics(
  app: FastifyInstance,
  path: string,
  render: () => string | Promise<string>,
): void {
  app.get(path, async (request, reply) => {
    const text = await render();
    void reply.type(PROMETHEUS_TEXT).header('vary', 'accept-encoding');
    if (!acceptsGzip(request.headers['accept-encoding'])) return reply.send(text);
    return reply.header('content-encoding', 'gzip').send(await compress(text));
  });
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = String(header ?? '').split(',');
  return codings.some((coding) => /^\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*$)[\d.]+\s*)?$/i.test(coding));
}
