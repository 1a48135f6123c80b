import { describe, expect, test } from 'vitest';
import { resolveSettings } from '../base/settings.ts';
import { gpuInventory, gpuRange } from './gpu-inventory.ts';
import { SLA_SETTINGS, type SlaSettings } from './settings.ts';

const settings = (flags: Record<string, unknown>): SlaSettings =>
  resolveSettings(SLA_SETTINGS, { flags, env: {} });
const node = (count: string, product: string, memory?: string) => ({
  metadata: {
    labels: {
      'nvidia.com/gpu.count': count,
      'nvidia.com/gpu.product': product,
      ...(memory && { 'nvidia.com/gpu.memory': memory }),
    },
  },
});

describe('the GPUs of a cluster', () => {
  test('are those of the kind with the most a node, then with the most memory', () => {
    const nodes = [node('4', 'A100', '40960'), node('8', 'L40', '49140'), node('8', 'H100', '81559'), {}];
    expect(gpuInventory([...nodes, node('8', 'H100', '81559')])).toEqual({
      count: 8,
      product: 'H100',
      memoryMiB: 81_559,
      nodes: 2,
    });
    expect(gpuInventory([{ status: { allocatable: { 'nvidia.com/gpu': '2' } } }])?.count).toBe(2);
    expect(gpuInventory([{}])).toBeUndefined();
  });

  const h100 = gpuInventory([node('8', 'H100', '81559'), node('8', 'H100', '81559')]);
  test.each([
    ['what is given', { minNumGpusPerEngine: 2, maxNumGpusPerEngine: 4 }, { min: 2, max: 4 }],
    ['one node of a dense model', {}, { min: 1, max: 8 }],
    ['whole nodes of a mixture of experts', { isMoeModel: true }, { min: 8, max: 16 }],
    ['what holds the weights', { modelSize: 140 }, { min: 2, max: 8 }],
    ['more than a node, if the weights need it', { modelSize: 800 }, { min: 16, max: 16 }],
  ])('sweep %s', (_, flags, expected) => {
    expect(gpuRange(settings(flags), h100)).toEqual({ ...expected, perNode: 8 });
  });

  test('may be too few for the weights', () => {
    expect(() => gpuRange(settings({ modelSize: 1400 }), h100)).toThrow(
      '--model-size: 1400 needs 32 GPUs of 81559 MiB, and the cluster has 16 of that kind',
    );
    // Without labels nothing is known, and nothing is refused.
    expect(gpuRange(settings({ modelSize: 1400 }), undefined)).toEqual({ min: 1, max: 8, perNode: 8 });
  });
});
