import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { KvasirError } from '../base/errors.ts';
import { fail } from '../base/errors.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import { modelList } from '../formats/openai/model-card.ts';
import type { RouterOverrides } from '../kv/route-request.ts';
import type { ProcessMetrics } from '../metrics/process-metrics.ts';
import { HttpServer, type RenderedError } from '../transport/http-server.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { addAdminRoutes } from './admin-routes.ts';
import { type AgentHintOptions, AgentHintReader } from './agent-hints.ts';
import type { ApiKey } from './api-key-file.ts';
import { ApiKeys } from './api-keys.ts';
import { type Endpoint, PATHS } from './exchange.ts';
import { type DirectoryParts, ModelDirectory, type ServedModel } from './model-directory.ts';
import { OPENAPI_INFO, ROUTE_SCHEMAS } from './openapi.ts';
import { addResponseRoutes, ResponseHomes } from './response-homes.ts';
import { type ServeParts, serveRequest } from './serve-request.ts';

export interface FrontendOptions {
  readonly host: string;
  readonly port: number;
  readonly portFlag: string;
  readonly maxBodyBytes: number;
  /** None: everybody may ask. */
  readonly apiKeys: readonly ApiKey[];
  /** Whether `/busy_threshold` and `/debug` are served. */
  readonly admin: boolean;
  /** HTTP status of an overload; 529 in Dynamo. */
  readonly overloadStatus: number;
  /** Requests at once, beyond which more are refused as overload. */
  readonly maxRequests: number;
  /** Where metrics are served; `/metrics`. */
  readonly metricsPath: string;
  /** How long requests under way may take to end when the frontend stops. */
  readonly drainMs: number;
}

/** What the frontend is made of, given by whoever assembles it. */
export interface FrontendParts
  extends Omit<DirectoryParts, 'wallMs' | 'metrics'>,
    Omit<
      ServeParts,
      | 'directory'
      | 'suspect'
      | 'hurry'
      | 'current'
      | 'forwardAuthorization'
      | 'quotaOf'
      | 'agentHints'
      | 'homes'
    > {
  readonly process: ProcessMetrics;
  readonly hints: AgentHintOptions;
  /** Adds routes of other parts, such as the dashboard's. */
  readonly addRoutes?: (app: FastifyInstance, frontend: Frontend) => void;
  /** Beginnings of those routes' paths that ask for a key, where keys are set. */
  readonly keyedPaths?: readonly string[];
}

type Stage = 'starting' | 'serving' | 'draining';

/** The OpenAI-compatible service in front of a fleet. */
export class Frontend {
  readonly directory: ModelDirectory;
  readonly #options: FrontendOptions;
  readonly #parts: FrontendParts;
  readonly #server: HttpServer;
  readonly #keys: ApiKeys;
  readonly #serve: ServeParts;
  #stage: Stage = 'starting';

  constructor(options: FrontendOptions, parts: FrontendParts) {
    this.#options = options;
    this.#parts = parts;
    this.directory = new ModelDirectory({ ...parts, wallMs: () => parts.clock.wallMs() });
    const { discovery, hints, clock, metrics } = parts;
    this.#keys = new ApiKeys(options.apiKeys, clock, (key, limit) => metrics.limited(key, limit));
    this.#serve = {
      ...parts,
      directory: this.directory,
      homes: new ResponseHomes(),
      forwardAuthorization: options.apiKeys.length === 0,
      quotaOf: (request) => this.#keys.quotaOf(request),
      agentHints: new AgentHintReader(hints, clock, (source) => metrics.hinted(source)),
      suspect: (workerId) => discovery.suspect?.(workerId),
      hurry: () => discovery.hurry?.(),
      current: (model) => this.directory.current(model),
    };
    const { host, port, portFlag, maxBodyBytes } = options;
    const renderError = (error: KvasirError) => this.#render(error);
    this.#server = new HttpServer({ host, port, portFlag, maxBodyBytes, log: parts.log, renderError });
  }

  /** Requests whose answer has not ended. */
  get inFlight(): number {
    return this.#server.inFlight;
  }

  /** Serves; resolves to the URL. Workers join as discovery finds them. */
  async start(): Promise<string> {
    const { app } = this.#server;
    await app.register(swagger, { openapi: OPENAPI_INFO });
    this.#addRoutes(app);
    this.#parts.addRoutes?.(app, this);
    this.directory.start();
    const url = await this.#server.start();
    this.#stage = 'serving';
    return url;
  }

  /** Refuses new requests, lets those under way end, then closes. */
  async stop(): Promise<void> {
    this.#stage = 'draining';
    await this.#server.stop(this.#options.drainMs);
    this.directory.stop();
  }

  /** Serves a request whose body is one of the endpoint's, whatever path it came by. */
  serve(
    endpoint: Endpoint,
    request: FastifyRequest,
    reply: FastifyReply,
    overrides?: RouterOverrides,
  ): Promise<FastifyReply> {
    const { maxRequests } = this.#options;
    if (this.#stage === 'draining') throw fail('KV_DRAINING');
    if (this.#server.inFlight > maxRequests)
      throw fail('KV_OVERLOADED', { reason: `the frontend has ${maxRequests} requests in flight` });
    return serveRequest(this.#serve, endpoint, request, reply, overrides);
  }

  #addRoutes(app: FastifyInstance): void {
    const { apiKeys, admin, metricsPath } = this.#options;
    if (apiKeys.length > 0)
      this.#keys.guard(app, ['/v1', '/busy_threshold', '/debug', ...(this.#parts.keyedPaths ?? [])]);
    for (const endpoint of Object.keys(PATHS) as Endpoint[])
      app.post(PATHS[endpoint], { schema: ROUTE_SCHEMAS[endpoint] }, (request, reply) =>
        this.serve(endpoint, request, reply),
      );
    addResponseRoutes(app, {
      homes: this.#serve.homes,
      client: this.#parts.client,
      instance: (id) =>
        this.directory
          .pools()
          .map((pool) => pool.instance(id))
          .find((instance) => instance !== undefined),
    });
    app.get('/v1/models', { schema: ROUTE_SCHEMAS.models }, async () => this.#models());
    app.get('/v1/models/*', { schema: ROUTE_SCHEMAS.model }, async (request) => this.#model(request.params));
    app.get('/health', { schema: ROUTE_SCHEMAS.health }, async (_request, reply) => {
      const { status, body } = this.#health();
      return reply.code(status).send(body);
    });
    app.get('/live', { schema: ROUTE_SCHEMAS.live }, async () => ({
      status: 'live',
      message: 'Service is live',
    }));
    serveMetrics(app, metricsPath, (accept) => this.#parts.process.scrape(accept));
    app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
    if (admin) addAdminRoutes(app, this.directory);
  }

  #models(): object {
    return modelList(this.directory.models().map(cardOf));
  }

  /** Names hold slashes. */
  #model(params: unknown): unknown {
    const { '*': name = '' } = params as Record<string, string>;
    const { data } = modelList([cardOf(this.directory.find(name))]) as { data: unknown[] };
    return data[0];
  }

  #health(): { status: number; body: object } {
    if (this.#stage === 'serving' && this.directory.ready) {
      const instances = this.directory.pools().flatMap((pool) => pool.instances());
      const body = {
        status: 'healthy',
        endpoints: Object.values(PATHS),
        discovery: this.#parts.discovery.status?.(),
        instances: instances.map(({ workerId, url, models, role }) => ({
          worker_id: workerId,
          url,
          models,
          role,
        })),
      };
      return { status: 200, body };
    }
    const stage = this.#stage === 'serving' ? 'waiting_for_workers' : this.#stage;
    const discovery = this.#parts.discovery.status?.();
    return { status: 503, body: { status: 'not_ready', stage, message: 'Service is not ready', discovery } };
  }

  #render(error: KvasirError): RenderedError {
    const status = error.code === 'KV_OVERLOADED' ? this.#options.overloadStatus : error.status;
    return { status, body: errorBody(error, status), headers: headersOf(error) };
  }
}

function headersOf({ code, facts }: KvasirError): Readonly<Record<string, string>> {
  if (code === 'KV_UNAUTHORIZED') return { 'www-authenticate': 'Bearer' };
  if (code === 'KV_RATE_LIMITED') return { 'retry-after': String(facts.retryAfterS) };
  return {};
}

function cardOf({ name, pool, loraName, created }: ServedModel) {
  return {
    id: name,
    ownedBy: 'kvasir',
    contextLength: pool.contextLength,
    parent: loraName === undefined ? undefined : pool.model,
    engine: undefined,
    created,
  };
}
