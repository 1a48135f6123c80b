import { type Document, isMap, isScalar, isSeq, parseAllDocuments, Scalar, YAMLSeq } from 'yaml';
import { fail } from '../../base/errors.ts';
import { type Arguments, shellJoin, tokenize } from './arguments.ts';
import { type Layout, layoutOf, type ServiceFields, type WorkerRole, type YamlPath } from './layout.ts';

export type { WorkerRole } from './layout.ts';

const KIND = 'DynamoGraphDeployment';
const MEND = 'Give a DynamoGraphDeployment as in docs/guides/sla-profiler.md.';

/** A DynamoGraphDeployment in its file, of either version: edits keep comments, order and what is not understood. */
export class Deployment {
  readonly #documents: Document[];
  readonly #root: Document;
  readonly #layout: Layout;
  readonly #path: string;

  private constructor(documents: Document[], root: Document, layout: Layout, path: string) {
    this.#documents = documents;
    this.#root = root;
    this.#layout = layout;
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
    const layout = layoutOf(root);
    if (layout === undefined) {
      const reason = 'spec has neither services (a mapping) nor components (a list)';
      throw fail('KV_FILE_MALFORMED', { path, reason, mend: MEND });
    }
    return new Deployment(documents, root, layout, path);
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

  get version(): Layout['version'] {
    return this.#layout.version;
  }

  get name(): string {
    return String(this.#root.getIn(['metadata', 'name']) ?? '');
  }

  setName(name: string): void {
    this.#root.setIn(['metadata', 'name'], name);
  }

  get serviceNames(): string[] {
    return this.#layout.serviceNames(this.#root);
  }

  /** Reads any value below a service; undefined when it is not there. */
  get(service: string, ...path: readonly string[]): unknown {
    return this.serviceNames.includes(service) ? this.#read([...this.#service(service), ...path]) : undefined;
  }

  /** Sets any value below a service, making the mappings on the way. */
  set(service: string, path: readonly string[], value: unknown): void {
    this.#root.setIn([...this.#service(service), ...path], this.#root.createNode(value));
  }

  /** Reads a field of the container that runs a service's engine. */
  container(service: string, field: string): unknown {
    return this.#read([...this.#layout.containerPath(this.#root, service), field]);
  }

  setSpec(path: readonly string[], value: unknown): void {
    this.#root.setIn(['spec', ...path], this.#root.createNode(value));
  }

  getSpec(...path: readonly string[]): unknown {
    return this.#read(['spec', ...path]);
  }

  removeService(service: string): void {
    if (this.serviceNames.includes(service)) this.#root.deleteIn(this.#service(service));
  }

  delete(service: string, ...path: readonly string[]): void {
    this.#root.deleteIn([...this.#service(service), ...path]);
  }

  /** The first service of a type: `frontend`, `worker`, `planner`. */
  serviceOfType(type: string): string | undefined {
    return this.serviceNames.find((service) => this.#layout.typeOf(this.#fields(service)) === type);
  }

  /** The service of a role: by what it says it is, else by the backend's default name. */
  workerService(role: WorkerRole, defaultName: string): string {
    const named = this.serviceNames.find((service) => this.#layout.roleOf(this.#fields(service)) === role);
    if (named !== undefined) return named;
    if (this.serviceNames.includes(defaultName)) return defaultName;
    const [key] = this.#layout.roleField(role);
    throw fail('KV_FILE_MALFORMED', {
      path: this.#path,
      reason: `no ${role} worker: no service with ${key} ${role}, none named ${defaultName} (services: ${this.serviceNames.join(', ')})`,
      mend: `Add ${key}: ${role} to the ${role} service.`,
    });
  }

  setRole(service: string, role: WorkerRole): void {
    const [key, value] = this.#layout.roleField(role);
    this.set(service, [key], value);
  }

  /** Puts the body of one service under the name of another, which it replaces; its own name goes. */
  moveService(from: string, to: string): void {
    if (from === to) return;
    const [source, target] = [this.#service(from), this.#service(to)];
    const body = this.#root.getIn(source, true);
    // A service of a list carries its name in its body.
    if (this.#layout.collection === 'components' && isMap(body)) body.set('name', to);
    this.#root.setIn(target, body);
    this.#root.deleteIn(source);
  }

  arguments(service: string): Arguments {
    return tokenize(this.container(service, 'args'));
  }

  /**
   * Replaces the arguments; items that stay keep their nodes, and so their comments and quotes. A command that ends in
   * `-c` or `-lc` is a shell's, which takes them as one line.
   */
  setArguments(service: string, args: Arguments): void {
    const path = [...this.#layout.containerPath(this.#root, service), 'args'];
    const command = this.container(service, 'command');
    if (Array.isArray(command) && /^-\w*c$/.test(String(command.at(-1)))) {
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
    const { gpuKey, limitsGpus } = this.#layout;
    const resources = this.#layout.resourcesPath(this.#root, service);
    this.#root.setIn([...resources, 'requests', gpuKey], text);
    if (limitsGpus || this.#root.hasIn([...resources, 'limits']))
      this.#root.setIn([...resources, 'limits', gpuKey], text.clone());
    if (gpus > gpusPerNode) this.set(service, ['multinode'], { nodeCount: Math.ceil(gpus / gpusPerNode) });
    else this.delete(service, 'multinode');
  }

  #service(name: string): YamlPath {
    return this.#layout.servicePath(this.#root, name);
  }

  #fields(service: string): ServiceFields {
    return (this.get(service) ?? {}) as ServiceFields;
  }

  #read(path: YamlPath): unknown {
    const found = this.#root.getIn(path);
    return isMap(found) || isSeq(found) ? found.toJS(this.#root) : found;
  }
}
