import { fail, toError } from '../../base/errors.ts';
import { type Arguments, appendArguments, argumentValue, removeArgument } from './arguments.ts';
import type { Backend, ParallelMapping } from './backend.ts';
import type { WorkerRole } from './deployment.ts';

const OVERRIDE = '--override-engine-args';

export const TRTLLM: Backend = {
  name: 'trtllm',
  defaultServices: { prefill: 'TRTLLMPrefillWorker', decode: 'TRTLLMDecodeWorker' },
  modelFlags: ['--served-model-name', '--model-path'],
  fixedPort: true,

  toAggregated(args: Arguments, role: WorkerRole): Arguments {
    const plain = removeArgument(removeArgument(args, '--disaggregation-mode'), '--disaggregation-strategy');
    const prefill = {
      kv_cache_config: { enable_block_reuse: false },
      disable_overlap_scheduler: false,
      cache_transceiver_config: null,
    };
    const decode = { kv_cache_config: { enable_block_reuse: true }, cache_transceiver_config: null };
    return override(plain, role === 'prefill' ? prefill : decode);
  },

  withMapping(args: Arguments, { kind, gpus }: ParallelMapping): Arguments {
    if (kind !== 'tp') {
      throw fail('KV_SETTING_INVALID', {
        setting: '--backend',
        value: 'trtllm',
        reason: `has no ${kind} mapping`,
        mend: 'Profile it without --is-moe-model.',
      });
    }
    return override(args, { tensor_parallel_size: gpus });
  },
};

type Options = { readonly [key: string]: unknown };

/** Merges into the JSON of the override argument, which moves to the end of the command. */
function override(args: Arguments, added: Options): Arguments {
  const given = argumentValue(args, OVERRIDE);
  let before: Options;
  try {
    before = given === undefined ? {} : (JSON.parse(given) as Options);
  } catch (cause) {
    const reason = `is not JSON (${toError(cause).message})`;
    throw fail(
      'KV_SETTING_INVALID',
      { setting: OVERRIDE, value: given, reason, mend: 'Mend it in the deployment file.' },
      cause,
    );
  }
  return appendArguments(removeArgument(args, OVERRIDE), [OVERRIDE, pythonJson(merge(before, added))]);
}

function merge(before: Options, added: Options): Options {
  const merged: Record<string, unknown> = { ...before };
  for (const [key, value] of Object.entries(added)) {
    const old = merged[key];
    merged[key] = isOptions(old) && isOptions(value) ? merge(old, value) : value;
  }
  return merged;
}

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON with the blanks that Python's `json.dumps` writes, so that files compare equal. */
function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (!isOptions(value)) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${pythonJson(item)}`)
    .join(', ')}}`;
}
