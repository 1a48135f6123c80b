import { type Clock, sleepUntil } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { reasonOf } from './kubernetes-failure.ts';
import type { WatchRequest } from './kubernetes-watch.ts';

/** What every object of the Kubernetes API has. */
export interface KubernetesObject {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string; readonly labels?: object };
}

export interface KubernetesReflectorOptions<T extends KubernetesObject> {
  readonly clock: Clock;
  readonly log: Log;
  readonly watch: (request: WatchRequest<T>) => () => void;
  /** Of the collection, as `/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices`. */
  readonly path: string;
  readonly labelSelector: string;
  /** Whoever stops the reflector ends a call under way. */
  readonly list: () => Promise<{
    readonly items: T[];
    readonly metadata?: { readonly resourceVersion?: string };
  }>;
  /** The whole collection as it is now, by name; called after every change. */
  readonly onChange: (objects: ReadonlyMap<string, T>) => void;
}

const GONE = 410;
const RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;
/** The server ends a watch after so long, so that a connection that died in silence is noticed. */
const WATCH_SECONDS = 240;
const SILENCE_MS = 1000 * (WATCH_SECONDS + 30);

/** A local copy of a collection of Kubernetes objects: listed once, then watched from that version on. */
export class KubernetesReflector<T extends KubernetesObject> {
  readonly #options: KubernetesReflectorOptions<T>;
  readonly #stop = new AbortController();
  #objects = new Map<string, T>();
  /** Where to watch from; empty: list first. */
  #version = '';
  #running: Promise<void> | undefined;
  #ok = false;
  #reason = 'not listed yet';

  constructor(options: KubernetesReflectorOptions<T>) {
    this.#options = options;
  }

  get ok(): boolean {
    return this.#ok;
  }

  get reason(): string {
    return this.#reason;
  }

  get size(): number {
    return this.#objects.size;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log, path } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      const sinceMs = clock.nowMs();
      try {
        if (this.#version === '') await this.#list();
        this.#ok = true;
        await this.#watch(signal);
        failures = 0;
      } catch (thrown) {
        if (signal.aborted) return;
        // Everything since then is forgotten: only a new list tells what is there.
        if (isGone(thrown)) this.#version = '';
        else {
          this.#ok = false;
          this.#reason = reasonOf(thrown);
          if (failures++ % 16 === 0)
            log.warn({ path, reason: this.#reason }, 'the Kubernetes API does not answer as it should');
        }
      }
      // A server that ends watches at once must not be flooded either.
      const backOffMs =
        failures > 0 ? Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(failures, 10)) : RETRY_MS;
      await sleepUntil(clock, sinceMs + backOffMs, signal).catch(() => {});
    }
  }

  async #list(): Promise<void> {
    const { items, metadata } = await this.#options.list();
    this.#objects = new Map(items.map((each) => [each.metadata?.name ?? '', each]));
    this.#version = metadata?.resourceVersion ?? '';
    this.#options.onChange(this.#objects);
  }

  /** Follows changes until the server ends the watch; rejects when it fails. */
  #watch(signal: AbortSignal): Promise<void> {
    const { watch, path, labelSelector, clock } = this.#options;
    const query = {
      resourceVersion: this.#version,
      labelSelector,
      allowWatchBookmarks: true,
      timeoutSeconds: WATCH_SECONDS,
    };
    return new Promise((resolve, reject) => {
      let failure: unknown;
      const done = (thrown: unknown): void => {
        silence();
        signal.removeEventListener('abort', end);
        const error = failure ?? thrown;
        if (error === undefined) resolve();
        else reject(error);
      };
      const take = (type: string, object: T): void => {
        if (type === 'ERROR') failure = object;
        else this.#take(type, object);
      };
      const end = watch({ path, query, take, done });
      const silence = clock.at(clock.nowMs() + SILENCE_MS, end);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  #take(type: string, object: T): void {
    this.#version = object.metadata?.resourceVersion ?? this.#version;
    const name = object.metadata?.name ?? '';
    if (type === 'BOOKMARK') return;
    if (type === 'DELETED') this.#objects.delete(name);
    else this.#objects.set(name, object);
    this.#options.onChange(this.#objects);
  }
}

function isGone(thrown: unknown): boolean {
  const { code, statusCode } = (thrown ?? {}) as { readonly code?: unknown; readonly statusCode?: unknown };
  return code === GONE || statusCode === GONE;
}
