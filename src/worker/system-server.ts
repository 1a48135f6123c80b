import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { HttpServer } from '../transport/http-server.ts';
import { type Exposition, serveMetrics } from '../transport/http-server-metrics.ts';

export interface SystemServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly healthPath?: string | undefined;
  readonly livePath?: string | undefined;
  /** Every served endpoint by name: whether it is ready. */
  readonly endpoints: () => ReadonlyMap<string, boolean>;
  /** False once the process is shutting down. */
  readonly live: () => boolean;
  readonly scrape: (accept: string | undefined) => Promise<Exposition>;
  /** What this process is, for people. */
  readonly metadata: () => object;
}

/** The status port of a process that serves no OpenAI clients there: health, liveness, metrics. */
export function createSystemServer(options: SystemServerOptions): HttpServer {
  const { host, port, clock, log } = options;
  const server = new HttpServer({ host, port, portFlag: '--system-port', log });
  const startedMs = clock.nowMs();
  const body = (ready: boolean): object => ({
    status: status(ready),
    uptime: uptime(clock.nowMs() - startedMs),
    endpoints: Object.fromEntries([...options.endpoints()].map(([name, up]) => [name, status(up)])),
  });
  const { app } = server;
  app.get(options.healthPath ?? '/health', (_request, reply) => {
    const ready = [...options.endpoints().values()].every((up) => up);
    return reply.code(ready ? 200 : 503).send(body(ready));
  });
  // Alive is not ready: a process that loads a model must not be restarted for it.
  app.get(options.livePath ?? '/live', (_request, reply) => {
    const live = options.live();
    return reply.code(live ? 200 : 503).send(body(live));
  });
  app.get('/metadata', () => options.metadata());
  serveMetrics(app, '/metrics', options.scrape);
  return server;
}

function status(ready: boolean): string {
  return ready ? 'ready' : 'notready';
}

function uptime(ms: number): { readonly secs: number; readonly nanos: number } {
  return { secs: Math.floor(ms / 1000), nanos: Math.floor((ms % 1000) * 1e6) };
}
