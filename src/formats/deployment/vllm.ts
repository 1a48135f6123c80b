import { type Arguments, addFlag, removeArgument, removeFlag, setArgument } from './arguments.ts';
import type { Backend, ParallelMapping } from './backend.ts';
import type { WorkerRole } from './deployment.ts';

const CACHE_ON = '--enable-prefix-caching';
const CACHE_OFF = '--no-enable-prefix-caching';

export const VLLM: Backend = {
  name: 'vllm',
  defaultServices: { prefill: 'VllmPrefillWorker', decode: 'VllmDecodeWorker' },
  modelFlags: ['--served-model-name', '--model'],
  fixedPort: false,

  toAggregated(args: Arguments, role: WorkerRole): Arguments {
    const plain = removeArgument(removeFlag(args, '--is-prefill-worker'), '--disaggregation-mode');
    return role === 'prefill'
      ? addFlag(removeFlag(plain, CACHE_ON), CACHE_OFF)
      : addFlag(removeFlag(plain, CACHE_OFF), CACHE_ON);
  },

  withMapping(args: Arguments, { kind, gpus }: ParallelMapping): Arguments {
    if (kind === 'tp') return setArgument(args, '--tensor-parallel-size', String(gpus));
    const tensor = setArgument(args, '--tensor-parallel-size', String(kind === 'tep' ? gpus : 1));
    const data = setArgument(tensor, '--data-parallel-size', String(kind === 'dep' ? gpus : 1));
    return addFlag(data, '--enable-expert-parallel');
  },
};
