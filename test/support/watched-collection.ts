import type { ServerResponse } from 'node:http';

// biome-ignore lint/suspicious/noExplicitAny: objects of the API are whatever a test makes them
type Resource = any;

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Resource;
  /** As it was before; undefined if it was not. */
  readonly before: Resource | undefined;
}

interface Watcher {
  readonly selector: string;
  readonly response: ServerResponse;
}

/** A collection of the Kubernetes API as its server keeps it: versions, lists, and watches from a version on. */
export class WatchedCollection {
  readonly #kind: string;
  readonly #objects = new Map<string, Resource>();
  readonly #watchers = new Set<Watcher>();
  #changes: Change[] = [];
  #version = 100;
  /** Watches from before this version answer 410. */
  #oldest = 100;
  lists = 0;
  watches = 0;

  constructor(kind: string) {
    this.#kind = kind;
  }

  put(object: Resource): void {
    const { name } = object.metadata;
    const before = this.#objects.get(name);
    const type = before === undefined ? 'ADDED' : 'MODIFIED';
    const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#objects.set(name, next);
    this.#tell({ version: this.#version, type, object: next, before });
  }

  delete(name: string): void {
    const object = this.#objects.get(name);
    this.#objects.delete(name);
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#tell({ version: this.#version, type: 'DELETED', object: last, before: object });
  }

  /** Forgets the history, as etcd's compaction does, and breaks off all watches. */
  compact(): void {
    this.#changes = [];
    this.#oldest = this.#version + 1;
    this.#version += 10;
    this.disconnect();
  }

  /** Breaks off all watches in mid-stream. */
  disconnect(): void {
    for (const { response } of this.#watchers) response.socket?.destroy();
    this.#watchers.clear();
  }

  /** Ends all watches as the server does when their time is over. */
  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  /** A moment's version without a change. */
  bookmark(): void {
    const object = { kind: this.#kind, metadata: { resourceVersion: String(++this.#version) } };
    for (const { response } of this.#watchers) write(response, 'BOOKMARK', object);
  }

  /** Answers a GET of the collection: a list, or a watch. */
  serve(url: URL, response: ServerResponse): void {
    const selector = url.searchParams.get('labelSelector') ?? '';
    if (url.searchParams.get('watch') === 'true') {
      this.#watch(selector, Number(url.searchParams.get('resourceVersion') ?? 0), response);
      return;
    }
    this.lists++;
    const items = [...this.#objects.values()].filter((object) => matches(object, selector));
    const metadata = { resourceVersion: String(this.#version) };
    const body = { kind: `${this.#kind}List`, apiVersion: 'discovery.k8s.io/v1', metadata, items };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #watch(selector: string, from: number, response: ServerResponse): void {
    this.watches++;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    if (from < this.#oldest - 1) {
      const status = {
        kind: 'Status',
        code: 410,
        reason: 'Expired',
        message: `too old resource version: ${from}`,
      };
      response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      return;
    }
    for (const change of this.#changes) if (change.version > from) tell(change, selector, response);
    const watcher = { selector, response };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #tell(change: Change): void {
    this.#changes.push(change);
    for (const { selector, response } of this.#watchers) tell(change, selector, response);
  }
}

/** To a watcher with a selector, an object comes and goes as it begins and ceases to match. */
function tell({ type, object, before }: Change, selector: string, response: ServerResponse): void {
  const matched = before !== undefined && matches(before, selector);
  const now = type !== 'DELETED' && matches(object, selector);
  if (now) write(response, matched ? 'MODIFIED' : 'ADDED', object);
  else if (matched) write(response, 'DELETED', object);
}

function write(response: ServerResponse, type: string, object: Resource): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

/** Understands `key=value` only. */
function matches({ metadata }: Resource, selector: string): boolean {
  const [key, value] = selector.split('=');
  return selector === '' || metadata.labels?.[key!] === value;
}
