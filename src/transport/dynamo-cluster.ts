import type { CoreV1Api, CustomObjectsApi, V1Node, V1Pod, Watch } from '@kubernetes/client-node';
import { failure, isConflict, isNotFound } from './kubernetes/kubernetes-failure.ts';
import { connectKubernetes } from './kubernetes/kubernetes-library.ts';

const RESOURCE = { group: 'nvidia.com', plural: 'dynamographdeployments' } as const;

/** What the operator says of a deployment; all else in it is the user's. */
export interface DeploymentStatus {
  readonly state?: string;
  readonly conditions?: readonly {
    readonly type?: string;
    readonly status?: string;
    readonly reason?: string;
    readonly message?: string;
  }[];
}

/** DynamoGraphDeployments of one namespace, their pods and the cluster's nodes, over the Kubernetes API. */
export class DynamoCluster {
  readonly namespace: string;
  readonly #resource: typeof RESOURCE & { readonly version: string };
  readonly #core: CoreV1Api;
  readonly #custom: CustomObjectsApi;
  readonly #watch: Watch;

  private constructor(
    namespace: string,
    version: string,
    core: CoreV1Api,
    custom: CustomObjectsApi,
    watch: Watch,
  ) {
    this.namespace = namespace;
    this.#resource = { ...RESOURCE, version };
    this.#core = core;
    this.#custom = custom;
    this.#watch = watch;
  }

  /**
   * `version` is the API's, as the deployments are written; `kubeconfig` names a file, undefined means the pod's service
   * account or the user's default.
   */
  static async open(
    namespace: string,
    version: string,
    kubeconfig: string | undefined,
  ): Promise<DynamoCluster> {
    const { library, config } = await connectKubernetes('--target kubernetes', kubeconfig);
    return new DynamoCluster(
      namespace,
      version,
      config.makeApiClient(library.CoreV1Api),
      config.makeApiClient(library.CustomObjectsApi),
      new library.Watch(config),
    );
  }

  /** False if one of that name is there already, which counts as created. */
  async create(deployment: Readonly<Record<string, unknown>>): Promise<boolean> {
    try {
      await this.#custom.createNamespacedCustomObject({
        ...this.#resource,
        namespace: this.namespace,
        body: deployment,
      });
      return true;
    } catch (thrown) {
      if (isConflict(thrown)) return false;
      throw failure('creating the deployment', thrown, this.#permissions());
    }
  }

  /** Undefined while there is no such deployment. */
  async status(name: string): Promise<DeploymentStatus | undefined> {
    try {
      const found = (await this.#custom.getNamespacedCustomObject({
        ...this.#resource,
        namespace: this.namespace,
        name,
      })) as { readonly status?: DeploymentStatus };
      return found.status ?? {};
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw failure(`reading deployment ${name}`, thrown, this.#permissions());
    }
  }

  /** Names of the deployments with a label. */
  async labelled(labelSelector: string): Promise<string[]> {
    try {
      const { items } = (await this.#custom.listNamespacedCustomObject({
        ...this.#resource,
        namespace: this.namespace,
        labelSelector,
      })) as { readonly items?: readonly { readonly metadata?: { readonly name?: string } }[] };
      return (items ?? []).flatMap(({ metadata }) => metadata?.name ?? []);
    } catch (thrown) {
      throw failure('listing deployments', thrown, this.#permissions());
    }
  }

  /** One that is gone already is deleted. */
  async delete(name: string): Promise<void> {
    try {
      await this.#custom.deleteNamespacedCustomObject({ ...this.#resource, namespace: this.namespace, name });
    } catch (thrown) {
      if (!isNotFound(thrown))
        throw failure(`deleting deployment ${name}`, thrown, `Delete it by hand in ${this.namespace}.`);
    }
  }

  /** Calls back when the deployment changes; ends with the signal. One that cannot be watched never calls back. */
  watch(name: string, signal: AbortSignal, changed: () => void): void {
    const { group, version, plural } = this.#resource;
    const path = `/apis/${group}/${version}/namespaces/${this.namespace}/${plural}`;
    const query = { fieldSelector: `metadata.name=${name}` };
    this.#watch
      .watch(path, query, changed, () => {})
      .then((watching) => {
        if (signal.aborted) watching.abort();
        else signal.addEventListener('abort', () => watching.abort(), { once: true });
      })
      // Whoever may not watch is told by polling.
      .catch(() => {});
  }

  async pods(labelSelector: string): Promise<V1Pod[]> {
    try {
      return (await this.#core.listNamespacedPod({ namespace: this.namespace, labelSelector })).items;
    } catch (thrown) {
      throw failure('listing pods', thrown, this.#permissions());
    }
  }

  /** All that a container of a pod has printed. */
  async log(pod: string, container: string | undefined): Promise<string> {
    try {
      return (
        (await this.#core.readNamespacedPodLog({
          namespace: this.namespace,
          name: pod,
          ...(container !== undefined && { container }),
        })) ?? ''
      );
    } catch (thrown) {
      throw failure(`reading the log of pod ${pod}`, thrown, this.#permissions());
    }
  }

  async nodes(): Promise<V1Node[]> {
    try {
      return (await this.#core.listNode()).items;
    } catch (thrown) {
      throw failure('listing nodes', thrown, 'Allow nodes list, or give --max-num-gpus-per-engine.');
    }
  }

  #permissions(): string {
    return `Check the role of the service account in namespace ${this.namespace} (deploy/kubernetes/profiler-rbac.yaml).`;
  }
}
