import { fail } from '../base/errors.ts';
import type { SlaSettings } from './settings.ts';

/** What the labels of a node tell of its GPUs. */
export interface NodeGpus {
  readonly count: number;
  readonly product: string | undefined;
  readonly memoryMiB: number | undefined;
}

/** The kind of node to profile for. */
export interface GpuInventory extends NodeGpus {
  /** Nodes of this kind. */
  readonly nodes: number;
}

interface Node {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } | undefined;
  readonly status?: { readonly allocatable?: Readonly<Record<string, string>> } | undefined;
}

/** Reads the labels of NVIDIA's feature discovery; the count falls back to what the node can allocate. */
export function gpusOfNode({ metadata, status }: Node): NodeGpus | undefined {
  const labels = metadata?.labels ?? {};
  const count = Number(labels['nvidia.com/gpu.count'] ?? status?.allocatable?.['nvidia.com/gpu'] ?? 0);
  if (!(count >= 1)) return undefined;
  const memory = Number(labels['nvidia.com/gpu.memory']);
  return {
    count,
    product: labels['nvidia.com/gpu.product'],
    memoryMiB: memory > 0 ? memory : undefined,
  };
}

/** Nodes are grouped by product and memory; the group with the most GPUs a node wins, then the most memory. */
export function gpuInventory(nodes: readonly Node[]): GpuInventory | undefined {
  const groups = new Map<string, NodeGpus[]>();
  for (const node of nodes) {
    const gpus = gpusOfNode(node);
    if (gpus === undefined) continue;
    const key = `${gpus.product}/${gpus.memoryMiB}`;
    groups.set(key, [...(groups.get(key) ?? []), gpus]);
  }
  const kinds = [...groups.values()].map((group) => ({
    ...group[0]!,
    count: Math.max(...group.map(({ count }) => count)),
    nodes: group.length,
  }));
  return kinds.toSorted((a, b) => b.count - a.count || (b.memoryMiB ?? 0) - (a.memoryMiB ?? 0))[0];
}

/** Widths to sweep: as given, else as far as one node goes (MoE engines may span several). */
export interface GpuRange {
  readonly min: number;
  readonly max: number;
  readonly perNode: number;
}

const DEFAULT_PER_NODE = 8;
const MOST_MOE_GPUS = 32;

export function gpuRange(settings: SlaSettings, inventory: GpuInventory | undefined): GpuRange {
  const perNode = settings.numGpusPerNode ?? inventory?.count ?? DEFAULT_PER_NODE;
  const widest =
    inventory === undefined
      ? DEFAULT_PER_NODE
      : settings.isMoeModel
        ? Math.min(MOST_MOE_GPUS, inventory.nodes * inventory.count)
        : inventory.count;
  const least = settings.isMoeModel && inventory !== undefined ? Math.min(perNode, widest) : 1;
  const holding = gpusForWeights(settings, inventory);
  const min = settings.minNumGpusPerEngine ?? holding;
  const max = settings.maxNumGpusPerEngine ?? Math.max(widest, min);
  return { min: settings.minNumGpusPerEngine ?? Math.max(holding, Math.min(least, max)), max, perNode };
}

/** Share of a GPU's memory that an engine uses. */
const USABLE_SHARE = 0.9;

/** The narrowest width that holds the weights, 1 where that cannot be told; throws when the cluster has none. */
function gpusForWeights(
  { modelSize: modelSizeGib, isMoeModel }: SlaSettings,
  inventory: GpuInventory | undefined,
): number {
  if (modelSizeGib === undefined || inventory?.memoryMiB === undefined) return 1;
  const { memoryMiB, count, nodes } = inventory;
  const least = Math.max(1, Math.ceil((modelSizeGib * 1024) / USABLE_SHARE / memoryMiB));
  const gpus = isMoeModel ? Math.ceil(least / count) * count : 2 ** Math.ceil(Math.log2(least));
  if (gpus <= count * nodes) return gpus;
  throw fail('KV_SETTING_INVALID', {
    setting: '--model-size',
    value: modelSizeGib,
    reason: `needs ${gpus} GPUs of ${memoryMiB} MiB, and the cluster has ${count * nodes} of that kind`,
    mend: 'Profile a smaller model or quantised weights, or add nodes.',
  });
}
