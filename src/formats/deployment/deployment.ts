import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  parseAllDocuments,
  Scalar,
  type YAMLMap,
  YAMLSeq,
} from 'yaml';
import { fail } from '../../base/errors.ts';
import { type Arguments, shellJoin, tokenize } from './arguments.ts';

export type WorkerRole = 'prefill' | 'decode';

const KIND = 'DynamoGraphDeployment';
const CONTAINER = ['extraPodSpec', 'mainContainer'] as const;
const MEND = 'Give a DynamoGraphDeployment as in docs/guides/sla-profiler.md.';

/** A DynamoGraphDeployment in its file: edits keep comments, order and whatever is not understood. */
export class Deployment {
  readonly #documents: Document[];
  readonly #root: Document;
  readonly #path: string;

  private constructor(documents: Document[], root: Document, path: string) {
    this.#documents = documents;
    this.#root = root;
    this.#path = path;
  }

  /** Reads a file of one or several YAML documents, one of which is the deployment. */
  static parse(text: string, path: string): Deployment {
    const documents = parseAllDocuments(text) as Document[];
    const broken = documents.flatMap((document) => document.errors)[0];
    if (broken !== undefined)
      throw fail('KV_FILE_MALFORMED', { path, reason: broken.message, mend: 'Mend the YAML.' });
    const root = documents.find((document) => document.get('kind') === KIND);
    if (root === undefined)
      throw fail('KV_FILE_MALFORMED', { path, reason: `no document of kind ${KIND}`, mend: MEND });
    if (!isMap(root.getIn(['spec', 'services']))) {
      throw fail('KV_FILE_MALFORMED', { path, reason: 'spec.services is not a mapping', mend: MEND });
    }
    return new Deployment(documents, root, path);
  }

  clone(): Deployment {
    return Deployment.parse(this.toString(), this.#path);
  }

  toString(): string {
    return this.#documents.map((document) => document.toString({ lineWidth: 0 })).join('');
  }

  /** The whole deployment as plain data. */
  toJSON(): Record<string, unknown> {
    return this.#root.toJS() as Record<string, unknown>;
  }

  get name(): string {
    return String(this.#root.getIn(['metadata', 'name']) ?? '');
  }

  setName(name: string): void {
    this.#root.setIn(['metadata', 'name'], name);
  }

  get serviceNames(): string[] {
    return this.#services().items.map((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key));
  }

  /** Reads any value below a service; undefined when it is not there. */
  get(service: string, ...path: readonly string[]): unknown {
    const found = this.#root.getIn(['spec', 'services', service, ...path]);
    return isMap(found) || isSeq(found) ? found.toJS(this.#root) : found;
  }

  /** Sets any value below a service, making the mappings on the way. */
  set(service: string, path: readonly string[], value: unknown): void {
    this.#root.setIn(['spec', 'services', service, ...path], this.#root.createNode(value));
  }

  setSpec(path: readonly string[], value: unknown): void {
    this.#root.setIn(['spec', ...path], this.#root.createNode(value));
  }

  getSpec(...path: readonly string[]): unknown {
    const found = this.#root.getIn(['spec', ...path]);
    return isMap(found) || isSeq(found) ? found.toJS(this.#root) : found;
  }

  removeService(service: string): void {
    this.#services().delete(service);
  }

  delete(service: string, ...path: readonly string[]): void {
    this.#root.deleteIn(['spec', 'services', service, ...path]);
  }

  /** The service of a role: by its `subComponentType`, else by the backend's default name. */
  workerService(role: WorkerRole, defaultName: string): string {
    const named = this.serviceNames.find((service) => this.get(service, 'subComponentType') === role);
    if (named !== undefined) return named;
    if (this.serviceNames.includes(defaultName)) return defaultName;
    throw fail('KV_FILE_MALFORMED', {
      path: this.#path,
      reason: `no ${role} worker: no service with subComponentType ${role}, none named ${defaultName} (services: ${this.serviceNames.join(', ')})`,
      mend: `Add subComponentType: ${role} to the ${role} service.`,
    });
  }

  /** Puts the body of one service under the name of another, which it replaces; its own name goes. */
  moveService(from: string, to: string): void {
    if (from === to) return;
    const services = this.#services();
    const body = services.get(from, true);
    services.delete(from);
    services.set(to, body);
  }

  arguments(service: string): Arguments {
    return tokenize(this.get(service, ...CONTAINER, 'args'));
  }

  /**
   * Replaces the arguments; items that stay keep their nodes, and so their comments and quotes. A command that ends in
   * `-c` is a shell's, which takes them as one line.
   */
  setArguments(service: string, args: Arguments): void {
    const path = ['spec', 'services', service, ...CONTAINER, 'args'];
    const command = this.get(service, ...CONTAINER, 'command');
    if (Array.isArray(command) && command.at(-1) === '-c') {
      this.#root.setIn(path, this.#root.createNode([shellJoin(args)]));
      return;
    }
    const old = this.#root.getIn(path);
    const list = isSeq(old) ? old : new YAMLSeq();
    const reusable = [...list.items];
    list.items = args.map((token) => {
      const at = reusable.findIndex((item) => isScalar(item) && item.value === token);
      return at < 0 ? new Scalar(token) : reusable.splice(0, at + 1).at(-1);
    });
    if (list !== old) this.#root.setIn(path, list);
  }

  /** GPUs of one engine: at most a node's worth per pod, several nodes beyond that. */
  setGpus(service: string, gpus: number, gpusPerNode: number): void {
    const text = new Scalar(String(Math.min(gpus, gpusPerNode)));
    text.type = Scalar.QUOTE_DOUBLE;
    const resources = ['spec', 'services', service, 'resources'];
    this.#root.setIn([...resources, 'requests', 'gpu'], text);
    if (this.#root.hasIn([...resources, 'limits']))
      this.#root.setIn([...resources, 'limits', 'gpu'], text.clone());
    if (gpus > gpusPerNode) this.set(service, ['multinode'], { nodeCount: Math.ceil(gpus / gpusPerNode) });
    else this.delete(service, 'multinode');
  }

  #services(): YAMLMap {
    return this.#root.getIn(['spec', 'services']) as YAMLMap;
  }
}
