import type { AddressInfo } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { fail, type KvasirError, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import {
  allowedMethods,
  type RoutePattern,
  refuseMalformedHttp,
  toRequestError,
} from './http-server-errors.ts';
import { decodedBody, type JsonParser, parseJsonBody } from './http-server-json.ts';

export interface HttpServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Named by the error when the port is busy, as in `--http-port`. */
  readonly portFlag: string;
  readonly log: Log;
  /** Largest request body; 45 MiB unless given. */
  readonly maxBodyBytes?: number;
  /** Instead of JSON's own, for numbers that JavaScript cannot hold. */
  readonly json?: { readonly parse: JsonParser; readonly stringify: (value: unknown) => string };
  /** What clients are told of an error; the OpenAI shape unless given. */
  readonly renderError?: (error: KvasirError) => RenderedError;
}

export interface RenderedError {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes of a JSON request's body, decompressed. */
    rawBody: Buffer | undefined;
  }
}

const DEFAULT_MAX_BODY_BYTES = 45 * 1024 * 1024;
/** How long a client may take to send its request. */
const REQUEST_TIMEOUT_MS = 120_000;
const DRAIN_POLL_MS = 20;

/**
 * A fastify server with Kvasir's habits: bodies are JSON in valid UTF-8, every failure has one shape, unknown
 * routes and wrong methods included, and stopping drains. Add routes to `app` before `start()`.
 */
export class HttpServer {
  readonly app: FastifyInstance;
  readonly #options: HttpServerOptions;
  readonly #maxBodyBytes: number;
  #inFlight = 0;
  #url: string | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.app = fastify({
      logger: false,
      bodyLimit: this.#maxBodyBytes,
      requestTimeout: REQUEST_TIMEOUT_MS,
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1000 },
      frameworkErrors: (error, _request, reply) =>
        void this.#refuse(toRequestError(error), reply as unknown as FastifyReply),
      clientErrorHandler: refuseMalformedHttp,
    }) as unknown as FastifyInstance;
    // Schemas on routes describe them for the OpenAPI page; the parts check bodies themselves.
    this.app.setValidatorCompiler(() => () => true);
    if (options.json !== undefined) this.app.setReplySerializer(options.json.stringify);
    this.app.decorateRequest('rawBody', undefined);
    this.app.removeAllContentTypeParsers();
    this.app.addContentTypeParser(
      /^application\/([\w.+-]+\+)?json\b/i,
      { parseAs: 'buffer' },
      async (request: FastifyRequest, body: Buffer) => {
        const bytes = await decodedBody(request.headers['content-encoding'], body, this.#maxBodyBytes);
        return parseJsonBody(request, bytes, options.json?.parse ?? JSON.parse);
      },
    );
    this.#countInFlight();
    this.#answerErrors();
  }

  /** Of the listener, without a trailing slash; throws before `start()`. */
  get url(): string {
    if (this.#url === undefined) throw fail('KV_INTERNAL', { reason: 'the HTTP server is not started' });
    return this.#url;
  }

  /** Requests whose response has not ended, streams included. */
  get inFlight(): number {
    return this.#inFlight;
  }

  async start(): Promise<string> {
    const { host, port, portFlag } = this.#options;
    try {
      await this.app.listen({ host, port });
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE') throw fail('KV_PORT_BUSY', { port, host, flag: portFlag }, cause);
      if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
        throw fail('KV_LISTEN_FAILED', { port, host, flag: portFlag, reason: toError(cause).message }, cause);
      throw cause;
    }
    const bound = this.app.server.address() as AddressInfo;
    const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
    this.#url = `http://${shown}:${bound.port}`;
    return this.#url;
  }

  /** Takes no new connections, waits up to `graceMs` for what is in flight, then cuts it off. */
  stop(graceMs = 5000): Promise<void> {
    this.#stopping ??= this.#drainAndClose(graceMs);
    return this.#stopping;
  }

  async #drainAndClose(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    const closed = this.app.close();
    while (this.#inFlight > 0 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    this.app.server.closeAllConnections();
    await closed;
  }

  #countInFlight(): void {
    this.app.addHook('onRequest', (_request, reply, done) => {
      this.#inFlight++;
      // `close` comes exactly once, also for hijacked replies and for clients that left.
      reply.raw.once('close', () => this.#inFlight--);
      done();
    });
  }

  #answerErrors(): void {
    const routes: RoutePattern[] = [];
    this.app.addHook('onRoute', (route) => {
      for (const method of [route.method].flat())
        if (method !== 'HEAD') routes.push({ method, parts: route.url.split('/') });
    });
    this.app.setNotFoundHandler((request, reply) => {
      const path = request.url.split('?')[0] ?? '/';
      const allowed = allowedMethods(routes, path);
      const facts = { method: request.method, path, allowed: allowed.join(' or ') };
      if (allowed.length === 0) return this.#refuse(fail('KV_ROUTE_UNKNOWN', facts), reply);
      void reply.header('allow', allowed.join(', '));
      return this.#refuse(fail('KV_METHOD_NOT_ALLOWED', facts), reply);
    });
    this.app.setErrorHandler((thrown, request, reply) => {
      const error = toRequestError(thrown, {
        maxBodyBytes: this.#maxBodyBytes,
        contentType: request.headers['content-type'],
      });
      if (error.code === 'KV_INTERNAL') {
        const facts = { method: request.method, path: request.url.split('?')[0], err: error.cause };
        this.#options.log.error(facts, 'a request failed unexpectedly');
      }
      return this.#refuse(error, reply);
    });
  }

  #refuse(error: KvasirError, reply: FastifyReply): unknown {
    const { status, body, headers } = this.render(error);
    return reply
      .code(status)
      .headers({ ...headers })
      .type('application/json; charset=utf-8')
      .send(JSON.stringify(body));
  }

  /** The answer for an error, for handlers that write it themselves. */
  render(error: KvasirError): RenderedError {
    return this.#options.renderError?.(error) ?? { status: error.status, body: errorBody(error) };
  }
}
