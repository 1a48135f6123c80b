import { type Dispatcher, Pool } from 'undici';
import { fail, toError } from '../base/errors.ts';

export interface HttpClientOptions {
  /** How long a connection may take to be made; 5 s unless given. */
  readonly connectTimeoutMs?: number;
}

export interface JsonAnswer {
  readonly status: number;
  /** Undefined when the body is empty or no JSON. */
  readonly body: unknown;
}

export interface TextAnswer {
  readonly status: number;
  readonly text: string;
  /** The `Date` header: the server's clock, in whole seconds. */
  readonly date: string | undefined;
}

export interface JsonRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
  /** A body that is JSON already. */
  readonly json?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Largest answer; 16 MiB unless given. */
  readonly maxBytes?: number;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;

/** Owns the connections to other servers: one pool for each origin, closed together. */
export class HttpClient {
  readonly #pools = new Map<string, Pool>();
  /** Values of the authorization header, by origin. */
  readonly #keys = new Map<string, string>();
  /** Pools that add the key, by origin. */
  readonly #keyed = new Map<string, Dispatcher>();
  readonly #connectTimeoutMs: number;

  constructor(options: HttpClientOptions = {}) {
    this.#connectTimeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
  }

  /** From now on everything to the URL's origin carries this key, in place of any other. */
  authorize(url: string, key: string): void {
    this.#keys.set(new URL(url).origin, `Bearer ${key}`);
  }

  /** The connections to the URL's origin, made when first asked for. */
  pool(url: string): Dispatcher {
    const { origin } = new URL(url);
    return this.#keyed.get(origin) ?? this.#addKey(origin, this.#poolOf(origin));
  }

  #addKey(origin: string, pool: Pool): Dispatcher {
    const authorization = this.#keys.get(origin);
    if (authorization === undefined) return pool;
    const keyed = pool.compose(withHeader('authorization', authorization));
    this.#keyed.set(origin, keyed);
    return keyed;
  }

  #poolOf(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      // The relay sets its own time limits on headers and on silence.
      const limits = { headersTimeout: 0, bodyTimeout: 0 };
      pool = new Pool(origin, { ...limits, connect: { timeout: this.#connectTimeoutMs, noDelay: true } });
      this.#pools.set(origin, pool);
    }
    return pool;
  }

  /** One exchange of JSON. Any status is an answer; throws `KV_ENGINE_UNREACHABLE` when there is none. */
  async json(url: string, request: JsonRequest): Promise<JsonAnswer> {
    const { status, text } = await this.text(url, request);
    return { status, body: parseJson(text) };
  }

  /** The same, whatever the answer is. */
  async text(url: string, request: JsonRequest): Promise<TextAnswer> {
    const { pathname, search } = new URL(url);
    const json = request.json ?? (request.body === undefined ? null : JSON.stringify(request.body));
    const timeout = AbortSignal.timeout(request.timeoutMs);
    const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
    try {
      const { statusCode, headers, body } = await this.pool(url).request({
        path: pathname + search,
        method: request.method ?? 'GET',
        headers: {
          ...(json !== null && { 'content-type': 'application/json' }),
          ...request.headers,
        },
        body: json,
        signal,
      });
      const text = await collect(body, request.maxBytes ?? DEFAULT_MAX_BYTES);
      const { date } = headers;
      return { status: statusCode, text, date: Array.isArray(date) ? date[0] : date };
    } catch (cause) {
      if (request.signal?.aborted === true) throw request.signal.reason;
      const reason = timeout.aborted ? `no answer within ${request.timeoutMs} ms` : connectionProblem(cause);
      throw fail('KV_ENGINE_UNREACHABLE', { url, reason }, cause);
    }
  }

  /** Drops the pool of an origin that is gone; what is under way on it ends first. */
  forget(url: string): void {
    const { origin } = new URL(url);
    const pool = this.#pools.get(origin);
    this.#pools.delete(origin);
    this.#keyed.delete(origin);
    void pool?.close().catch(() => pool.destroy());
  }

  /** Closes every connection, cutting off what is under way. */
  async stop(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    this.#keyed.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

/** All requests here have their headers as an object. */
function withHeader(name: string, value: string): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(
      { ...options, headers: { ...(options.headers as Record<string, string>), [name]: value } },
      handler,
    );
}

async function collect(body: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > maxBytes) throw new Error('its answer is too large');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** What went wrong with a connection, in a few words. */
export function connectionProblem(cause: unknown): string {
  const { code, message } = cause as { code?: string; message?: string };
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'connecting took too long';
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE')
    return 'it closed the connection';
  return message === undefined || message === '' ? toError(cause).message : message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
