import { type Arguments, addFlag, removeArgument, removeFlag, setArgument } from './arguments.ts';
import type { Backend, ParallelMapping } from './backend.ts';
import type { WorkerRole } from './deployment.ts';

const DISAGGREGATION = [
  '--disaggregation-mode',
  '--disaggregation-transfer-backend',
  '--disaggregation-bootstrap-port',
];
const CACHE_OFF = '--disable-radix-cache';

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
    const tensor = setArgument(args, '--tp', width);
    if (kind === 'tp') return tensor;
    if (kind === 'tep')
      return setArgument(
        removeFlag(removeArgument(tensor, '--dp'), '--enable-dp-attention'),
        '--ep-size',
        width,
      );
    return setArgument(
      addFlag(setArgument(tensor, '--dp', width), '--enable-dp-attention'),
      '--ep-size',
      width,
    );
  },
};
