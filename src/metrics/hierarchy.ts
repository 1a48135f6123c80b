import { fail } from '../base/errors.ts';
import type { ConstantLabels } from './labels.ts';
import { Registry, type RegistryRules } from './registry.ts';
import { sanitiseLabel } from './sanitise.ts';

/** Labels that nodes add by themselves; nothing else under a node may use these names. */
const AUTOMATIC_LABELS: readonly string[] = [
  'dynamo_namespace',
  'dynamo_component',
  'dynamo_endpoint',
  'worker_id',
];

type NodeKind = 'process' | 'namespace' | 'component' | 'endpoint';

/**
 * One level of process, namespace, component, endpoint. Families of its registry carry the labels of the levels
 * above, named by the kind of a level and not by its depth. Asking twice for a level gives the same node.
 */
export class MetricsNode {
  readonly kind: NodeKind;
  readonly registry: Registry;
  readonly #rules: Partial<RegistryRules>;
  readonly #extra: ConstantLabels;
  readonly #levels = new Map<string, MetricsNode>();

  private constructor(
    kind: NodeKind,
    rules: Partial<RegistryRules>,
    labels: ConstantLabels,
    extra: ConstantLabels,
  ) {
    this.kind = kind;
    this.#rules = rules;
    this.#extra = extra;
    this.registry = new Registry(rules, { ...labels, ...extra }, AUTOMATIC_LABELS);
  }

  /** The top level; `workerId` is in hexadecimal, undefined where the version knows no such label. */
  static process(rules: Partial<RegistryRules>, workerId: string | undefined): MetricsNode {
    return new MetricsNode('process', rules, workerId === undefined ? {} : { worker_id: workerId }, {});
  }

  /** A namespace; inside another one both names are joined. */
  namespace(name: string): MetricsNode {
    this.#expect('process', 'namespace');
    const outer = this.registry.labels.dynamo_namespace;
    return this.#level('namespace', outer === undefined ? name : `${outer}_${name}`);
  }

  component(name: string): MetricsNode {
    this.#expect('namespace');
    return this.#level('component', name);
  }

  /** An endpoint with further constant labels (`model`, `model_name`), which must be given before it serves. */
  endpoint(name: string, labels: ConstantLabels = {}): MetricsNode {
    this.#expect('component');
    return this.#level('endpoint', name, labels);
  }

  /** This node's registry and those of all levels below, each once. */
  *registries(): IterableIterator<Registry> {
    yield this.registry;
    for (const level of this.#levels.values()) yield* level.registries();
  }

  /** Forgets a level with all its families. */
  remove(level: MetricsNode): void {
    for (const [key, known] of this.#levels) if (known === level) this.#levels.delete(key);
  }

  #level(kind: NodeKind, name: string, extra: ConstantLabels = {}): MetricsNode {
    const key = `${kind}/${name}`;
    const known = this.#levels.get(key);
    if (known !== undefined) {
      if (!covers(known.#extra, extra))
        throw refuse(name, 'serves already with other labels', 'Give them first.');
      return known;
    }
    for (const label of Object.keys(extra)) {
      if (AUTOMATIC_LABELS.includes(label))
        throw refuse(name, `label ${label} is set by the hierarchy`, 'Choose another label name.');
    }
    const own = name === '' ? {} : { [LABEL_OF[kind]]: sanitiseLabel(name) };
    const level = new MetricsNode(kind, this.#rules, { ...this.registry.labels, ...own }, extra);
    this.#levels.set(key, level);
    return level;
  }

  #expect(...kinds: readonly NodeKind[]): void {
    if (!kinds.includes(this.kind))
      throw refuse(this.kind, `has no such level below it`, `Ask a ${kinds.join(' or a ')} for it.`);
  }
}

const LABEL_OF: Readonly<Record<NodeKind, string>> = {
  process: 'worker_id',
  namespace: 'dynamo_namespace',
  component: 'dynamo_component',
  endpoint: 'dynamo_endpoint',
};

function covers(known: ConstantLabels, asked: ConstantLabels): boolean {
  return Object.entries(asked).every(([name, value]) => known[name] === value);
}

function refuse(name: string, reason: string, mend: string) {
  return fail('KV_METRIC_INVALID', { name, reason, mend });
}
