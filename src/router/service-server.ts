import { BIG_JSON } from '../base/big-json.ts';
import type { Log } from '../base/log.ts';
import { HttpServer } from '../transport/http-server.ts';

export interface ServiceServerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Log;
  readonly maxBodyBytes: number;
  /** Told of each answer: the route's pattern, never the raw path. */
  readonly answered?: (endpoint: string, method: string, status: number, durationMs: number) => void;
}

const OK = { status: 'ok' };

/** A server with the habits of Dynamo's services: `{"error"}` for what failed, `{"status": "ok"}` for what was done. */
export function makeServiceServer({ answered, ...options }: ServiceServerOptions): HttpServer {
  const server = new HttpServer({
    ...options,
    portFlag: '--port',
    json: BIG_JSON,
    renderError: (error) => ({
      status: error.status,
      body: {
        error: error.message,
        ...(error.hint !== '' && { hint: error.hint }),
        ...(error.facts.details !== undefined && { details: { reason: error.facts.details } }),
      },
    }),
  });
  server.app.get('/health', async () => OK);
  if (answered !== undefined)
    server.app.addHook('onResponse', (request, reply, done) => {
      const endpoint = request.routeOptions.url ?? 'unknown';
      answered(endpoint, request.method, reply.statusCode, reply.elapsedTime);
      done();
    });
  return server;
}

/** The answer of what has nothing to tell. */
export function done(): object {
  return OK;
}
