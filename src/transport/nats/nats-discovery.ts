import type { KV, KvWatchEntry } from '@nats-io/kv';
import { type CancelTimer, type Clock, sleepUntil } from '../../base/clock.ts';
import { toError } from '../../base/errors.ts';
import type { Discovery, DiscoveryListener, DiscoveryStatus } from '../discovery.ts';
import { MemoryDiscovery } from '../discovery-memory.ts';
import { type InstanceRecord, readInstanceRecord } from '../instance-record.ts';
import { type InstanceBucketOptions, openInstanceBucket } from './instance-bucket.ts';
import { ALL_INSTANCES } from './subjects.ts';

export interface NatsDiscoveryOptions extends InstanceBucketOptions {
  readonly clock: Clock;
  /** Whether a worker answers, asked of one that is suspected. */
  readonly answers: (url: string) => Promise<boolean>;
}

interface Lease {
  readonly key: string;
  readonly record: InstanceRecord;
  /** Of its last write, in the bucket. */
  readonly revision: number;
  endMs: number;
  /** Found dead although its lease runs: it is back when its record is written again. */
  dead: boolean;
}

const TICK_MS = 250;
/** With nobody registered all is listed anew so often: the watch may have died unseen, with the server that led it. */
const EMPTY_RELIST_MS = 2000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 5000;

/**
 * Ready workers as their records in the bucket tell. A record holds for its lease, counted here from its last write:
 * no clock is compared with another's. While NATS is away nobody is given up, and afterwards all get a lease anew.
 */
export class NatsDiscovery implements Discovery {
  readonly #options: NatsDiscoveryOptions;
  readonly #ready = new MemoryDiscovery();
  readonly #leases = new Map<string, Lease>();
  readonly #stop = new AbortController();
  #kv: KV | undefined;
  /** Ends the present watch, so that all is listed again. */
  #relist: () => void = () => {};
  #running: Promise<void> | undefined;
  #unlisten: () => void = () => {};
  #cancelTick: CancelTimer | undefined;
  #reason = 'not connected yet';
  #watching = false;
  /** When somebody was registered, or all was listed, last. */
  #lookedMs = 0;

  constructor(options: NatsDiscoveryOptions) {
    this.#options = options;
  }

  /** Starts watching; returns at once. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#unlisten = this.#options.connection.onConnect(() => this.#reconnected());
    this.#running = this.#run();
    this.#tick();
  }

  watch(listener: DiscoveryListener): () => void {
    return this.#ready.watch(listener);
  }

  status(): DiscoveryStatus {
    const { connection } = this.#options;
    const detail = !connection.isConnected
      ? `NATS at ${connection.servers} is away: ${connection.reason}`
      : this.#watching
        ? `${this.#leases.size} workers are registered`
        : this.#reason;
    return { kind: 'nats', ok: connection.isConnected && this.#watching, detail };
  }

  suspect(workerId: string): void {
    const lease = this.#leases.get(workerId);
    if (lease !== undefined && !lease.dead) void this.#examine(lease);
  }

  async stop(): Promise<void> {
    this.#unlisten();
    this.#cancelTick?.();
    this.#stop.abort();
    this.#relist();
    await this.#running;
    await this.#ready.stop();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    for (let failures = 0; !this.#stop.signal.aborted; ) {
      try {
        await this.#watchOnce();
        failures = 0;
      } catch (thrown) {
        this.#failed(toError(thrown).message);
        this.#watching = false;
        failures++;
      }
      if (this.#stop.signal.aborted) return;
      const wait = new AbortController();
      this.#relist = () => wait.abort();
      const backOffMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(failures, 10));
      await sleepUntil(clock, clock.nowMs() + backOffMs, wait.signal).catch(() => {});
    }
  }

  /** Told once for each reason; while NATS itself is away, the connection tells. */
  #failed(reason: string): void {
    const { connection, log } = this.#options;
    const isNew = reason !== this.#reason;
    this.#reason = reason;
    if (isNew && connection.isConnected)
      log.warn({ reason }, 'workers cannot be read from NATS: it needs JetStream (nats-server -js)');
  }

  /** Lists all records and follows their changes until that breaks or is ended. */
  async #watchOnce(): Promise<void> {
    this.#kv = await openInstanceBucket(this.#options);
    const entries = await this.#kv.watch({ key: ALL_INSTANCES });
    this.#relist = () => entries.stop();
    if (this.#stop.signal.aborted) entries.stop();
    this.#watching = true;
    for await (const entry of entries) this.#take(entry);
  }

  #take(entry: KvWatchEntry): void {
    const workerId = entry.key.split('.').at(-1) ?? '';
    if (entry.operation !== 'PUT') {
      this.#remove(workerId, 'left');
      return;
    }
    const record = readInstanceRecord(entry.string());
    if (record === undefined || record.instance.workerId !== workerId) {
      this.#options.log.warn({ key: entry.key }, 'a record of a worker cannot be read');
      return;
    }
    const { instance, leaseMs } = record;
    const known = this.#leases.get(workerId);
    if (known === undefined || known.dead)
      this.#options.log.info({ url: instance.url, models: instance.models }, 'worker joined');
    const endMs = this.#options.clock.nowMs() + leaseMs;
    this.#leases.set(workerId, { key: entry.key, record, revision: entry.revision, endMs, dead: false });
    this.#ready.put(instance);
  }

  #reconnected(): void {
    // Workers need as long as at their start to register with a server that forgot them.
    for (const lease of this.#leases.values()) this.#extend(lease);
    this.#relist();
  }

  #extend(lease: Lease): void {
    lease.endMs = this.#options.clock.nowMs() + lease.record.leaseMs;
  }

  #tick(): void {
    const { clock, connection } = this.#options;
    const nowMs = clock.nowMs();
    if (connection.isConnected)
      for (const [workerId, lease] of this.#leases)
        if (lease.endMs <= nowMs) void this.#confirm(workerId, lease);
    if (this.#leases.size > 0) this.#lookedMs = nowMs;
    else if (this.#watching && nowMs - this.#lookedMs >= EMPTY_RELIST_MS) {
      this.#lookedMs = nowMs;
      this.#relist();
    }
    this.#cancelTick = clock.at(nowMs + TICK_MS, () => this.#tick());
  }

  /** The lease ran out, unless it is the watch that broke. */
  async #confirm(workerId: string, lease: Lease): Promise<void> {
    this.#extend(lease);
    try {
      const entry = await this.#kv?.get(lease.key);
      if (this.#leases.get(workerId) !== lease) return;
      if (entry?.operation !== 'PUT' || entry.revision === lease.revision)
        this.#remove(workerId, 'lease expired');
      else this.#relist();
    } catch (thrown) {
      this.#reason = toError(thrown).message;
      this.#relist();
    }
  }

  /** Two failures in a row: a worker that is only busy must not be lost. */
  async #examine(lease: Lease): Promise<void> {
    const { answers, log } = this.#options;
    const { url, workerId } = lease.record.instance;
    if ((await answers(url)) || (await answers(url))) return;
    if (this.#leases.get(workerId) !== lease) return;
    lease.dead = true;
    log.warn({ url }, 'worker does not answer: left out until its record is written again');
    this.#ready.remove(workerId);
  }

  #remove(workerId: string, why: string): void {
    const lease = this.#leases.get(workerId);
    if (lease === undefined) return;
    this.#leases.delete(workerId);
    this.#options.log.info({ url: lease.record.instance.url, why }, 'worker is gone');
    this.#ready.remove(workerId);
  }
}
