import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import type {
  NatsConnection as Client,
  Msg,
  RequestManyOptions,
  Subscription,
  TlsOptions,
} from '@nats-io/transport-node';
import { type Clock, sleepUntil } from '../../base/clock.ts';
import { fail, toError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { loadNats, type NatsLibrary } from './nats-library.ts';
import type { NatsServers } from './nats-servers.ts';
import { identityCheck } from './server-identity.ts';

export interface NatsConnectionOptions extends NatsServers {
  /** Shown by the server's monitoring. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Named by errors. */
  readonly flag?: string;
  readonly files?: NatsFiles | undefined;
}

/** Paths of what a server asks for before it talks. */
export interface NatsFiles {
  readonly credentials?: string | undefined;
  /** Certificates of the authority that signed the servers'. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

interface Wanted {
  readonly subject: string;
  readonly onMessage: (message: Msg) => void;
  subscription: Subscription | undefined;
}

const CONNECT_TIMEOUT_MS = 2000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 5000;
const PING_INTERVAL_MS = 5000;
/** Of a stop: what is under way gets so long to be sent. */
const DRAIN_MS = 1000;

/**
 * The one connection of a process to NATS. Connects in the background for ever; subscriptions outlive reconnects.
 * While the server is away nothing is kept for it: `publish` then says false.
 */
export class NatsConnection {
  readonly #options: NatsConnectionOptions;
  readonly #stop = new AbortController();
  readonly #wanted = new Set<Wanted>();
  readonly #onConnect = new Set<() => void>();
  #library: NatsLibrary | undefined;
  #client: Client | undefined;
  #connected = false;
  #reason = 'not connected yet';
  #running: Promise<void> | undefined;

  constructor(options: NatsConnectionOptions) {
    this.#options = options;
  }

  /** Loads the client and looks for its files, which fails if there are none, and connects in the background. */
  async start(): Promise<void> {
    await checkReadable(this.#options.files ?? {});
    this.#library ??= await loadNats(this.#options.flag ?? '--nats-server');
    this.#running ??= this.#connect();
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** Why it is not connected. */
  get reason(): string {
    return this.#reason;
  }

  get servers(): string {
    return this.#options.servers.join(',');
  }

  /** The client while connected. */
  get client(): Client | undefined {
    return this.#connected ? this.#client : undefined;
  }

  /** Calls back at every connect and reconnect, and at once if it is connected; returns what ends it. */
  onConnect(listener: () => void): () => void {
    this.#onConnect.add(listener);
    if (this.#connected) listener();
    return () => void this.#onConnect.delete(listener);
  }

  /** False if it was not sent: the server is away, or the payload is larger than it takes. */
  publish(subject: string, payload: Uint8Array, replyTo?: string): boolean {
    const { client } = this;
    if (client === undefined || payload.length > (client.info?.max_payload ?? 0)) return false;
    client.publish(subject, payload, replyTo === undefined ? undefined : { reply: replyTo });
    return true;
  }

  /** Listens to a subject from now on, across reconnects; returns what ends it. */
  subscribe(subject: string, onMessage: (message: Msg) => void): () => void {
    const wanted: Wanted = { subject, onMessage, subscription: undefined };
    this.#wanted.add(wanted);
    this.#subscribe(wanted);
    return () => {
      this.#wanted.delete(wanted);
      wanted.subscription?.unsubscribe();
    };
  }

  /** All answers to a request up to one without payload; rejects when nobody listens or nothing comes. */
  async requestAll(
    subject: string,
    payload: Uint8Array,
    onAnswer: (answer: Uint8Array) => void,
    timeoutMs: number,
  ): Promise<'complete' | 'timeout'> {
    const { client } = this;
    if (client === undefined) throw new Error(`NATS is away: ${this.#reason}`);
    const options: Partial<RequestManyOptions> = { strategy: 'sentinel', maxWait: timeoutMs };
    let ended = false;
    for await (const message of await client.requestMany(subject, payload, options)) {
      if (message.data.length === 0) ended = true;
      else onAnswer(message.data);
    }
    return ended ? 'complete' : 'timeout';
  }

  /** What was handed over is sent if that does not take long; then nothing comes or goes any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const client = this.#client;
    if (client !== undefined) {
      if (this.#connected) await Promise.race([client.flush(), delay(DRAIN_MS)]).catch(() => {});
      this.#connected = false;
      await client.close();
    }
    await this.#running;
  }

  async #connect(): Promise<void> {
    const { servers, clock, log } = this.#options;
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      try {
        this.#client = await this.#library!.connect(await this.#connectOptions());
        break;
      } catch (thrown) {
        this.#reason = toError(thrown).message;
        // Once, and then about every minute.
        if (attempt % 16 === 0) log.warn({ servers, reason: this.#reason }, 'NATS cannot be reached');
      }
      const backOffMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(attempt, 10));
      await sleepUntil(clock, clock.nowMs() + backOffMs, this.#stop.signal).catch(() => {});
    }
    const client = this.#client;
    if (client === undefined) return;
    if (this.#stop.signal.aborted) return client.close();
    for (const wanted of this.#wanted) this.#subscribe(wanted);
    this.#isUp();
    await this.#follow(client);
  }

  async #connectOptions() {
    const { servers, tls, user, pass, token, name, files = {} } = this.#options;
    const library = this.#library!;
    const { credentials, ca: caFile, cert: certFile, key: keyFile } = files;
    const creds = credentials === undefined ? undefined : await readFile(credentials);
    const own = Object.entries({ caFile, certFile, keyFile }).filter(([, path]) => path !== undefined);
    return {
      servers: [...servers],
      name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      reconnectJitter: RETRY_MS,
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      ...((tls || own.length > 0) && {
        // Handed on to Node's own connect, of whose options the client's types name a few.
        tls: { ...Object.fromEntries(own), checkServerIdentity: identityCheck(servers) } as TlsOptions,
      }),
      ...(user !== undefined && { user, pass }),
      ...(token !== undefined && { token }),
      ...(creds !== undefined && { authenticator: library.credsAuthenticator(creds) }),
    };
  }

  async #follow(client: Client): Promise<void> {
    const { log, servers } = this.#options;
    for await (const status of client.status()) {
      if (status.type === 'disconnect') {
        this.#connected = false;
        this.#reason = 'the connection broke';
        if (!this.#stop.signal.aborted) log.warn({ servers }, 'the connection to NATS broke');
      } else if (status.type === 'reconnect') this.#isUp();
      else if (status.type === 'error')
        log.warn({ servers, reason: status.error.message }, 'NATS reported an error');
      else if (status.type === 'slowConsumer')
        log.warn({ servers }, 'messages of NATS come faster than they are read');
    }
    this.#connected = false;
  }

  #isUp(): void {
    this.#connected = true;
    this.#options.log.info({ server: this.#client?.getServer() }, 'connected to NATS');
    for (const listener of [...this.#onConnect]) listener();
  }

  #subscribe(wanted: Wanted): void {
    if (this.#client === undefined || wanted.subscription !== undefined) return;
    wanted.subscription = this.#client.subscribe(wanted.subject, {
      callback: (error, message) => {
        if (error !== null) {
          this.#options.log.warn({ subject: wanted.subject, reason: error.message }, 'a subscription failed');
          return;
        }
        try {
          wanted.onMessage(message);
        } catch (thrown) {
          this.#options.log.error(
            { err: thrown, subject: wanted.subject },
            'a message could not be taken in',
          );
        }
      },
    });
  }
}

/** Throws KV_FILE_UNREADABLE. */
async function checkReadable(files: NatsFiles): Promise<void> {
  for (const path of Object.values(files)) {
    if (path === undefined) continue;
    await access(path, constants.R_OK).catch((thrown: unknown) => {
      throw fail('KV_FILE_UNREADABLE', { path, reason: toError(thrown).message });
    });
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
