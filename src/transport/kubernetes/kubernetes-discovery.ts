import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { Discovery, DiscoveryListener, DiscoveryStatus } from '../discovery.ts';
import { MemoryDiscovery } from '../discovery-memory.ts';
import { EngineProbe, type EngineProbeOptions } from '../engine-probe.ts';
import { type EndpointEngine, enginesOf, type PortNames } from './endpoint-slices.ts';
import { connectKubernetes } from './kubernetes-library.ts';
import { KubernetesReflector } from './kubernetes-reflector.ts';

export interface KubernetesDiscoveryOptions extends EngineProbeOptions {
  /** Where the services are; the pod's own, or that of the current context, unless given. */
  readonly namespace: string | undefined;
  /** Of the services whose endpoints are engines. */
  readonly labelSelector: string;
  readonly ports: PortNames;
  /** Configuration file; the pod's service account, or the user's default, unless given. */
  readonly kubeconfig: string | undefined;
  /** Numbers an engine by its normalised URL. */
  readonly workerIdOf: (url: string) => string;
}

interface Member {
  readonly probe: EngineProbe;
  readonly identity: string;
  readonly specText: string;
}

const FLAG = '--discovery kubernetes';
/** Problems remembered, so that each is logged once. */
const MAX_TOLD = 1000;

/** Engines behind the ready endpoints of labelled services; each is in use once it answers. */
export class KubernetesDiscovery implements Discovery {
  readonly #options: KubernetesDiscoveryOptions;
  readonly #ready = new MemoryDiscovery();
  readonly #reflector: KubernetesReflector<V1EndpointSlice>;
  readonly #members = new Map<string, Member>();
  readonly #told = new Set<string>();
  /** Of all calls to the API server that are under way. */
  readonly #calls: AbortController;

  private constructor(
    options: KubernetesDiscoveryOptions,
    calls: AbortController,
    reflect: (
      onChange: (slices: ReadonlyMap<string, V1EndpointSlice>) => void,
    ) => KubernetesReflector<V1EndpointSlice>,
  ) {
    this.#options = options;
    this.#calls = calls;
    this.#reflector = reflect((slices) => this.#update(slices.values()));
  }

  /** Reads the configuration, which may fail; nothing is asked of the cluster yet. */
  static async open(options: KubernetesDiscoveryOptions): Promise<KubernetesDiscovery> {
    const { clock, log, labelSelector, kubeconfig } = options;
    const calls = new AbortController();
    const { library, config, client, watch } = await connectKubernetes(FLAG, kubeconfig, calls.signal);
    const context = config.getContextObject(config.getCurrentContext());
    const namespace = options.namespace ?? context?.namespace ?? 'default';
    const api = client(library.DiscoveryV1Api);
    return new KubernetesDiscovery(
      options,
      calls,
      (onChange) =>
        new KubernetesReflector({
          clock,
          log,
          labelSelector,
          onChange,
          watch,
          path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
          list: () => api.listNamespacedEndpointSlice({ namespace, labelSelector }),
        }),
    );
  }

  /** Starts looking; returns at once. */
  start(): void {
    this.#reflector.start();
  }

  watch(listener: DiscoveryListener): () => void {
    return this.#ready.watch(listener);
  }

  suspect(workerId: string): void {
    for (const { probe } of this.#members.values()) if (probe.workerId === workerId) probe.wake();
  }

  hurry(): void {
    for (const { probe } of this.#members.values()) probe.wake();
  }

  status(): DiscoveryStatus {
    const { ok, reason, size } = this.#reflector;
    const found = `${this.#members.size} ready endpoints in ${size} slices of ${this.#options.labelSelector}`;
    return { kind: 'kubernetes', ok, detail: ok ? found : reason };
  }

  async stop(): Promise<void> {
    const stopped = this.#reflector.stop();
    this.#calls.abort();
    await stopped;
    await Promise.all([...this.#members.values()].map(({ probe }) => probe.stop()));
    await this.#ready.stop();
  }

  #update(slices: Iterable<V1EndpointSlice>): void {
    const { ports, log } = this.#options;
    const engines = enginesOf(slices, ports, (slice, reason) => {
      if (this.#told.has(`${slice} ${reason}`)) return;
      if (this.#told.size >= MAX_TOLD) this.#told.clear();
      this.#told.add(`${slice} ${reason}`);
      log.warn({ slice, reason }, 'an EndpointSlice cannot be used');
    });
    for (const [url, member] of this.#members) {
      const engine = engines.get(url);
      if (engine?.identity !== member.identity || JSON.stringify(engine.spec) !== member.specText)
        this.#remove(url, member);
    }
    for (const [url, engine] of engines) if (!this.#members.has(url)) this.#add(url, engine);
  }

  #add(url: string, { spec, identity }: EndpointEngine): void {
    const ready = this.#ready;
    const workerId = this.#options.workerIdOf(url);
    const listener = { ready: ready.put.bind(ready), gone: ready.remove.bind(ready) };
    const probe = new EngineProbe(spec, workerId, this.#options, listener);
    this.#members.set(url, { probe, identity, specText: JSON.stringify(spec) });
  }

  /** An endpoint that is no longer ready gets no new requests, though it may still answer. */
  #remove(url: string, { probe }: Member): void {
    this.#members.delete(url);
    void probe.stop();
    if (this.#ready.remove(probe.workerId)) this.#options.log.info({ url }, 'endpoint is gone');
  }
}
