import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClaimPods } from './claim-pods.ts';
import { WatchedCollection } from './watched-collection.ts';

const DEPLOYMENTS =
  /^\/apis\/nvidia\.com\/(v1alpha1|v1beta1)\/namespaces\/([^/]+)\/dynamographdeployments(?:\/([^/]+))?$/;
const PODS = /^\/api\/v1\/namespaces\/([^/]+)\/pods(?:\/([^/]+)(\/log)?)?$/;
const SLICES = /^\/apis\/discovery\.k8s\.io\/v1\/namespaces\/([^/]+)\/endpointslices$/;

// biome-ignore lint/suspicious/noExplicitAny: objects of the API are whatever the client sent
type Resource = any;

/** How the cluster behind the API behaves. */
export interface ClusterBehaviour {
  /** From creation to ready; undefined: never. */
  readonly readyAfterMs?: number | undefined;
  /** What the pods' containers wait for, as the kubelet says it. */
  readonly waiting?: { readonly reason: string; readonly message: string };
  /** How the containers ended the last time. */
  readonly crashed?: { readonly exitCode: number; readonly reason: string };
  /** Pods carry the one label that the first operators gave them. */
  readonly oldOperator?: boolean;
  /** Versions of deployments that are served; both unless given. */
  readonly versions?: readonly string[];
  /** The first names of deployments that are asked for are taken. */
  readonly takenNames?: number;
  readonly workerLog?: string;
  readonly nodes?: readonly { readonly labels?: object; readonly allocatable?: object }[];
  /** Answers `exec`, and what pods that are created mount. */
  readonly claimPods?: ClaimPods;
  /** Pods that are created stay pending. */
  readonly unschedulable?: string;
  /** Verbs and resources that the role lacks, as `list nodes`. */
  readonly forbidden?: readonly string[];
}

/** A server that speaks the part of the Kubernetes API that Kvasir needs, with an operator behind its deployments. */
export class KubernetesApi {
  readonly deployments = new Map<string, Resource>();
  readonly pods = new Map<string, Resource>();
  readonly slices = new WatchedCollection('EndpointSlice');
  /** Requests as `VERB /path`, without queries. */
  readonly requests: string[] = [];
  readonly #behaviour: ClusterBehaviour;
  readonly #server: Server;
  readonly #watchers = new Set<{ readonly name: string | undefined; readonly response: ServerResponse }>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #version = 0;
  #away = false;
  #refusals = 0;
  #taken: number;

  constructor(behaviour: ClusterBehaviour = {}) {
    this.#behaviour = behaviour;
    this.#taken = behaviour.takenNames ?? 0;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on('upgrade', (request, socket, head) => {
      this.requests.push(`EXEC ${new URL(request.url!, 'http://x').pathname}`);
      if (behaviour.claimPods === undefined) socket.destroy();
      else behaviour.claimPods.upgrade(request, socket, head);
    });
  }

  /** Listens, and returns the path of a kubeconfig for it. */
  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const path = join(mkdtempSync(join(tmpdir(), 'kvasir-kube-')), 'config');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: { token: 'secret' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(path, JSON.stringify(config));
    return path;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#server.close().closeAllConnections();
    await once(this.#server, 'close');
  }

  /** Breaks every connection off, and each new one until it is back, as a control plane that is restarted. */
  leave(): void {
    this.#away = true;
    this.#server.closeAllConnections();
  }

  /** At first it refuses whoever its roles allow: it has not read them yet. */
  comeBack(refusals = 2): void {
    this.#away = false;
    this.#refusals = refusals;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#away) {
      request.socket.destroy();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url!, 'http://x');
    this.requests.push(`${request.method} ${url.pathname}`);
    if (request.headers.authorization !== 'Bearer secret') {
      refuse(response, 401, 'Unauthorized');
      return;
    }
    if (this.#refusals > 0) {
      this.#refusals--;
      refuse(response, 403, `${url.pathname} is forbidden: User "u": RBAC: role not found`);
      return;
    }
    const { versions = ['v1alpha1', 'v1beta1'] } = this.#behaviour;
    if (/^\/apis\/?$/.test(url.pathname)) {
      const groups = [{ name: 'nvidia.com', versions: versions.map((version) => ({ version })) }];
      answer(response, 200, { kind: 'APIGroupList', groups });
      return;
    }
    const route = DEPLOYMENTS.exec(url.pathname);
    const deployment = route !== null && versions.includes(route[1]!) ? route : null;
    const pod = PODS.exec(url.pathname);
    if (deployment !== null) {
      const body = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
      this.#deployment(request.method!, deployment[2]!, deployment[3], url, body, response);
      return;
    }
    if (pod?.[3] !== undefined) {
      this.#log(pod[2]!, response);
      return;
    }
    if (pod !== null && (pod[2] !== undefined || request.method === 'POST')) {
      const body = request.method === 'POST' ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
      this.#pod(request.method!, pod[2] ?? body.metadata.name, body, response);
      return;
    }
    if (pod !== null && request.method === 'GET') {
      answer(response, 200, list('PodList', selected(this.pods, url)));
      return;
    }
    if (SLICES.test(url.pathname)) {
      if (this.#behaviour.forbidden?.includes('list endpointslices'))
        refuse(response, 403, 'endpointslices.discovery.k8s.io is forbidden');
      else this.slices.serve(url, response);
      return;
    }
    if (url.pathname === '/api/v1/nodes') {
      if (this.#behaviour.forbidden?.includes('list nodes')) {
        refuse(response, 403, 'nodes is forbidden: User "u" cannot list resource "nodes"');
        return;
      }
      const nodes = (this.#behaviour.nodes ?? []).map(({ labels, allocatable }, i) => ({
        metadata: { name: `node-${i}`, labels },
        status: { allocatable },
      }));
      answer(response, 200, list('NodeList', nodes));
      return;
    }
    // A path that is not served is told in plain text.
    response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
  }

  /** One pod by name: created as it is, running at once unless nothing can schedule it. */
  #pod(method: string, name: string, body: Resource, response: ServerResponse): void {
    const found = this.pods.get(name);
    if (method === 'POST' && found !== undefined) {
      refuse(response, 409, `pods "${name}" already exists`);
      return;
    }
    if (method === 'POST') {
      const { unschedulable } = this.#behaviour;
      const status =
        unschedulable === undefined
          ? { phase: 'Running' }
          : { phase: 'Pending', conditions: [{ type: 'PodScheduled', message: unschedulable }] };
      this.pods.set(name, { ...body, status });
      answer(response, 201, this.pods.get(name));
      return;
    }
    if (found === undefined) {
      refuse(response, 404, `pods "${name}" not found`);
      return;
    }
    if (method === 'DELETE') this.pods.delete(name);
    answer(response, 200, found);
  }

  #deployment(
    method: string,
    namespace: string,
    name: string | undefined,
    url: URL,
    body: Resource,
    response: ServerResponse,
  ): void {
    if (method === 'POST') {
      this.#create(namespace, url, body, response);
      return;
    }
    if (method === 'GET' && name === undefined && url.searchParams.get('watch') === 'true') {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      const watcher = {
        name: /metadata\.name=(.+)/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1],
        response,
      };
      this.#watchers.add(watcher);
      response.on('close', () => this.#watchers.delete(watcher));
      // A watch from no version begins with what is there.
      for (const [name, object] of this.deployments)
        if (watcher.name === undefined || watcher.name === name)
          response.write(`${JSON.stringify({ type: 'ADDED', object })}\n`);
      return;
    }
    if (method === 'GET' && name === undefined) {
      answer(response, 200, list('DynamoGraphDeploymentList', selected(this.deployments, url)));
      return;
    }
    const found = this.deployments.get(name!);
    if (found === undefined) {
      refuse(response, 404, `dynamographdeployments.nvidia.com "${name}" not found`);
      return;
    }
    if (method === 'DELETE') {
      this.withdraw(name!);
      answer(response, 200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
      return;
    }
    answer(response, 200, found);
  }

  /** Deletes a deployment with its pods. */
  withdraw(name: string): void {
    const found = this.deployments.get(name);
    this.deployments.delete(name);
    for (const [pod, { metadata }] of this.pods) if (metadata.owner === name) this.pods.delete(pod);
    this.#tell('DELETED', found);
  }

  #create(namespace: string, url: URL, body: Resource, response: ServerResponse): void {
    const { name } = body.metadata;
    const { services, components } = body.spec;
    const served = url.pathname.split('/')[3];
    if (body.apiVersion !== `nvidia.com/${served}` || (services === undefined) !== (served === 'v1beta1')) {
      refuse(response, 400, `the API version in the data does not match nvidia.com/${served}`);
      return;
    }
    if (this.deployments.has(name) || this.#taken-- > 0) {
      refuse(response, 409, `dynamographdeployments.nvidia.com "${name}" already exists`);
      return;
    }
    const created = {
      ...body,
      metadata: { ...body.metadata, namespace, resourceVersion: `${++this.#version}` },
    };
    this.deployments.set(name, created);
    const names = components?.map((component: Resource) => component.name) ?? Object.keys(services);
    for (const service of names) this.#createPod(name, service);
    this.#tell('ADDED', created);
    this.#operate(name);
    answer(response, 201, created);
  }

  #createPod(owner: string, service: string): void {
    const { waiting, crashed, oldOperator } = this.#behaviour;
    const component = service.toLowerCase();
    // A worker's own resources carry a hash of what it runs, so that two generations can live side by side.
    const selector = oldOperator || component === 'frontend' ? component : `${component}-db6b6891`;
    const name = `${owner}-${selector}-0`;
    const labels = {
      'nvidia.com/selector': `${owner}-${selector}`,
      ...(!oldOperator && {
        'nvidia.com/dynamo-graph-deployment-name': owner,
        'nvidia.com/dynamo-component': service,
      }),
    };
    const status = {
      name: 'main',
      image: 'reg.example/vllm-runtime:1',
      state: waiting === undefined ? { running: {} } : { waiting },
      lastState: crashed === undefined ? {} : { terminated: crashed },
      restartCount: crashed === undefined ? 0 : 3,
    };
    this.pods.set(name, {
      metadata: { name, owner, labels },
      spec: { containers: [{ name: 'main' }, { name: 'sidecar' }] },
      status: { containerStatuses: [status] },
    });
  }

  /** As the operator does: not ready with a reason first, then the condition, and only then the state. */
  #operate(name: string): void {
    const { readyAfterMs } = this.#behaviour;
    const condition = (status: string) => ({
      type: 'Ready',
      status,
      ...(status === 'False' && { reason: 'some_resources_are_not_ready', message: '1 of 2 ready' }),
    });
    this.#update(name, { state: 'pending', conditions: [condition('False')] });
    if (readyAfterMs === undefined) return;
    this.#later(readyAfterMs / 2, () =>
      this.#update(name, { state: 'pending', conditions: [condition('True')] }),
    );
    this.#later(readyAfterMs, () =>
      this.#update(name, { state: 'successful', conditions: [condition('True')] }),
    );
  }

  #update(name: string, status: object): void {
    const found = this.deployments.get(name);
    if (found === undefined) return;
    const metadata = { ...found.metadata, resourceVersion: `${++this.#version}` };
    const next = { ...found, metadata, status };
    this.deployments.set(name, next);
    this.#tell('MODIFIED', next);
  }

  #tell(type: string, object: Resource): void {
    for (const { name, response } of this.#watchers) {
      if (name === undefined || name === object.metadata.name)
        response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #log(pod: string, response: ServerResponse): void {
    const text = pod.includes('worker') ? (this.#behaviour.workerLog ?? '') : 'frontend up\n';
    response.writeHead(200, { 'content-type': 'text/plain' }).end(text);
  }
}

function list(kind: string, items: readonly Resource[]): object {
  return { kind, apiVersion: 'v1', metadata: {}, items };
}

/** Understands `key=value` and `key in (a,b)`. */
function selected(objects: ReadonlyMap<string, Resource>, url: URL): Resource[] {
  const selector = url.searchParams.get('labelSelector') ?? '';
  const [, key, one, several] = /^([^= ]+)(?:=(.*)| in \((.*)\))$/.exec(selector) ?? [];
  const values = one === undefined ? (several?.split(',') ?? []) : [one];
  return [...objects.values()].filter(
    ({ metadata }) => key === undefined || values.includes(metadata.labels?.[key]),
  );
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'AlreadyExists',
};

function refuse(response: ServerResponse, code: number, message: string): void {
  const reason = REASONS[code];
  answer(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, code });
}
