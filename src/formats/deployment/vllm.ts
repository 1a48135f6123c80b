import { type Arguments, addFlag, removeArgument, removeFlag, setArgument } from './arguments.ts';
import type { Backend, ParallelMapping } from './backend.ts';
import type { WorkerRole } from './deployment.ts';

const ROLES = ['--is-prefill-worker', '--is-decode-worker'];
const TENSOR_ALIASES = ['-tp'];
const DATA_ALIASES = ['-dp'];
const CACHE_ON = '--enable-prefix-caching';
const CACHE_OFF = '--no-enable-prefix-caching';

export const VLLM: Backend = {
  name: 'vllm',
  defaultServices: { prefill: 'VllmPrefillWorker', decode: 'VllmDecodeWorker' },
  modelFlags: ['--served-model-name', '--model'],
  fixedPort: false,

  toAggregated(args: Arguments, role: WorkerRole): Arguments {
    const plain = removeArgument(ROLES.reduce(removeFlag, args), '--disaggregation-mode');
    return role === 'prefill'
      ? addFlag(removeFlag(plain, CACHE_ON), CACHE_OFF)
      : addFlag(removeFlag(plain, CACHE_OFF), CACHE_ON);
  },

  withMapping(args: Arguments, { kind, gpus }: ParallelMapping): Arguments {
    const width = String(kind === 'dep' ? 1 : gpus);
    const tensor = setArgument(args, '--tensor-parallel-size', width, TENSOR_ALIASES);
    if (kind === 'tp') return tensor;
    const copies = String(kind === 'dep' ? gpus : 1);
    return addFlag(
      setArgument(tensor, '--data-parallel-size', copies, DATA_ALIASES),
      '--enable-expert-parallel',
    );
  },
};
