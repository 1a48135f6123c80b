import type { KV } from '@nats-io/kv';
import { type Clock, sleepUntil } from '../../base/clock.ts';
import { toError } from '../../base/errors.ts';
import type { WorkerInstance } from '../discovery.ts';
import { writeInstanceRecord } from '../instance-record.ts';
import { type InstanceBucketOptions, openInstanceBucket } from './instance-bucket.ts';
import { instanceKey } from './subjects.ts';

export interface NatsRegistrationOptions extends InstanceBucketOptions {
  readonly clock: Clock;
  readonly component: string;
  readonly workerId: string;
  /** The worker as it is now; rejects while it is not ready to serve. */
  readonly look: (signal: AbortSignal) => Promise<WorkerInstance>;
}

/** A record is written so often within its lease: two may get lost. */
const WRITES_PER_LEASE = 3;

/** Keeps a worker's record in the bucket while the worker is ready, and takes it out when it no longer is. */
export class NatsRegistration {
  readonly #options: NatsRegistrationOptions;
  readonly #stop = new AbortController();
  readonly #key: string;
  #kv: KV | undefined;
  #registered = false;
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;
  #unlisten: () => void = () => {};
  #told = '';

  constructor(options: NatsRegistrationOptions) {
    this.#options = options;
    this.#key = instanceKey(options.component, options.workerId);
  }

  start(): void {
    this.#running ??= this.#run();
    // A server that comes back may have lost the record, and the bucket with it.
    this.#unlisten = this.#options.connection.onConnect(() => {
      this.#kv = undefined;
      this.#wake();
    });
  }

  /** Takes the record out and writes no more: no new requests come. Call it before the worker drains. */
  async stop(): Promise<void> {
    this.#unlisten();
    this.#stop.abort();
    this.#wake();
    await this.#running;
    await this.#withdraw();
  }

  async #run(): Promise<void> {
    const { clock, leaseMs } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#renew();
      const wait = new AbortController();
      this.#wake = () => wait.abort();
      if (this.#stop.signal.aborted) return;
      await sleepUntil(clock, clock.nowMs() + leaseMs / WRITES_PER_LEASE, wait.signal).catch(() => {});
    }
  }

  async #renew(): Promise<void> {
    const { look, leaseMs, connection, log } = this.#options;
    let instance: WorkerInstance;
    try {
      instance = await look(this.#stop.signal);
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      this.#tell('not ready', toError(thrown).message);
      await this.#withdraw();
      return;
    }
    if (!connection.isConnected) return;
    try {
      this.#kv ??= await openInstanceBucket(this.#options);
      await this.#kv.put(this.#key, writeInstanceRecord({ instance, leaseMs }));
      if (!this.#registered) log.info({ key: this.#key, models: instance.models }, 'registered with NATS');
      this.#registered = true;
      this.#told = '';
    } catch (thrown) {
      this.#kv = undefined;
      this.#registered = false;
      this.#tell('not registered', toError(thrown).message);
    }
  }

  async #withdraw(): Promise<void> {
    if (!this.#registered || !this.#options.connection.isConnected) return;
    this.#registered = false;
    await this.#kv?.delete(this.#key).catch((thrown: unknown) => {
      const reason = toError(thrown).message;
      this.#options.log.warn({ key: this.#key, reason }, 'the record stays until its lease ends');
    });
  }

  #tell(state: string, reason: string): void {
    if (this.#told === state) return;
    this.#told = state;
    this.#options.log.warn({ key: this.#key, reason }, `the worker is ${state}`);
  }
}
