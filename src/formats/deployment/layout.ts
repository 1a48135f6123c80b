import { type Document, isMap, isScalar, isSeq, type YAMLMap } from 'yaml';

export type WorkerRole = 'prefill' | 'decode';

/** Steps from the root of the file to a value: keys of mappings, places in lists. */
export type YamlPath = readonly (string | number)[];

/** Where one version of the API keeps what a profile reads and changes. */
export interface Layout {
  readonly version: 'v1alpha1' | 'v1beta1';
  /** Below `spec`; what must be there for the file to be of this version. */
  readonly collection: 'services' | 'components';
  serviceNames(root: Document): string[];
  /** A service that is not there yet gets the path that it will have. */
  servicePath(root: Document, name: string): YamlPath;
  /** The container that runs the engine. */
  containerPath(root: Document, name: string): YamlPath;
  typeOf(service: ServiceFields): string | undefined;
  roleOf(service: ServiceFields): WorkerRole | undefined;
  /** Key and value that give a service its role. */
  roleField(role: WorkerRole): readonly [key: string, value: string];
  /** Mapping of `requests` and `limits`, and the name of GPUs in both. */
  resourcesPath(root: Document, name: string): YamlPath;
  readonly gpuKey: string;
  /** Kubernetes takes GPUs of a pod template only with a limit. */
  readonly limitsGpus: boolean;
}

/** The fields of a service that say what it is. */
export interface ServiceFields {
  readonly componentType?: unknown;
  readonly subComponentType?: unknown;
  readonly type?: unknown;
}

const roleIn = (value: unknown): WorkerRole | undefined =>
  value === 'prefill' || value === 'decode' ? value : undefined;
const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** `spec.services`, a mapping; the engine's container has fields of its own. */
const V1ALPHA1: Layout = {
  version: 'v1alpha1',
  collection: 'services',
  serviceNames(root) {
    const services = root.getIn(['spec', 'services']) as YAMLMap;
    return services.items.map((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key));
  },
  servicePath: (_root, name) => ['spec', 'services', name],
  containerPath: (_root, name) => ['spec', 'services', name, 'extraPodSpec', 'mainContainer'],
  typeOf: ({ componentType }) => textIn(componentType),
  roleOf: ({ subComponentType }) => roleIn(subComponentType),
  roleField: (role) => ['subComponentType', role],
  resourcesPath: (_root, name) => ['spec', 'services', name, 'resources'],
  gpuKey: 'gpu',
  limitsGpus: false,
};

/** `spec.components`, a list whose pods are plain pod templates; the engine's container is named `main`. */
const V1BETA1: Layout = {
  version: 'v1beta1',
  collection: 'components',
  serviceNames: (root) => namesIn(root, ['spec', 'components']),
  servicePath(root, name) {
    const names = namesIn(root, ['spec', 'components']);
    const at = names.indexOf(name);
    return ['spec', 'components', at < 0 ? names.length : at];
  },
  containerPath(root, name) {
    const containers = [...V1BETA1.servicePath(root, name), 'podTemplate', 'spec', 'containers'];
    return [...containers, Math.max(0, namesIn(root, containers).indexOf('main'))];
  },
  typeOf: ({ type }) => (roleIn(type) === undefined ? textIn(type) : 'worker'),
  roleOf: ({ type }) => roleIn(type),
  roleField: (role) => ['type', role],
  resourcesPath: (root, name) => [...V1BETA1.containerPath(root, name), 'resources'],
  gpuKey: 'nvidia.com/gpu',
  limitsGpus: true,
};

function namesIn(root: Document, path: YamlPath): string[] {
  const list = root.getIn(path);
  return isSeq(list) ? list.items.map((item) => String(isMap(item) ? item.get('name') : '')) : [];
}

/** The layout that a file follows by what its `spec` holds; undefined if by none. */
export function layoutOf(root: Document): Layout | undefined {
  if (isMap(root.getIn(['spec', 'services']))) return V1ALPHA1;
  return isSeq(root.getIn(['spec', 'components'])) ? V1BETA1 : undefined;
}
