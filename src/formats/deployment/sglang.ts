import { type Arguments, addFlag, removeArgument, removeFlag, setArgument } from './arguments.ts';
import type { Backend, ParallelMapping } from './backend.ts';
import type { WorkerRole } from './deployment.ts';

const DISAGGREGATION = [
  '--disaggregation-mode',
  '--disaggregation-transfer-backend',
  '--disaggregation-bootstrap-port',
];
const CACHE_OFF = '--disable-radix-cache';
/** Further names that SGLang has for its widths. */
const TENSOR_ALIASES = ['--tp-size', '--tensor-parallel-size'];
const DATA_ALIASES = ['--dp-size', '--data-parallel-size'];
const EXPERT_ALIASES = ['--ep', '--expert-parallel-size'];

export const SGLANG: Backend = {
  name: 'sglang',
  defaultServices: { prefill: 'prefill', decode: 'decode' },
  modelFlags: ['--served-model-name', '--model-path', '--model'],
  fixedPort: false,

  toAggregated(args: Arguments, role: WorkerRole, moe: boolean): Arguments {
    const plain = DISAGGREGATION.reduce(removeArgument, args);
    if (role === 'prefill') return addFlag(plain, CACHE_OFF);
    const cached = removeFlag(plain, CACHE_OFF);
    // The two passes of a decode point must reach the same rank, which only a fixed order guarantees.
    return moe ? setArgument(cached, '--load-balance-method', 'round_robin') : cached;
  },

  withMapping(args: Arguments, { kind, gpus }: ParallelMapping): Arguments {
    const width = String(gpus);
    const tensor = setArgument(args, '--tp', width, TENSOR_ALIASES);
    if (kind === 'tp') return tensor;
    const data =
      kind === 'dep'
        ? addFlag(setArgument(tensor, '--dp', width, DATA_ALIASES), '--enable-dp-attention')
        : removeFlag(['--dp', ...DATA_ALIASES].reduce(removeArgument, tensor), '--enable-dp-attention');
    return setArgument(data, '--ep-size', width, EXPERT_ALIASES);
  },
};
