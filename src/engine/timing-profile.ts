import { fail } from '../base/errors.ts';
import { interpolatedTiming, type Timing } from './timing.ts';

/** Arrays of a profile as they stand in an npz file, by member name; a grid is flat, row by row. */
export type ProfileArrays = Readonly<
  Record<string, { readonly data: ArrayLike<number | bigint | string> } | undefined>
>;

/** A timing model from a profile's arrays; `path` names the file in errors. Older files lack the unit in names. */
export function profileTiming(arrays: ProfileArrays, path: string): Timing {
  const read = (...names: readonly string[]): Float64Array => {
    const array = names.map((name) => arrays[name]).find((each) => each !== undefined);
    if (array === undefined) {
      throw fail('KV_FILE_MALFORMED', {
        path,
        reason: `holds no ${names.join(' or ')}`,
        mend: `It holds ${Object.keys(arrays).join(', ') || 'nothing'}. Give a grid of prefill and decode times.`,
      });
    }
    return Float64Array.from(array.data as ArrayLike<number>, Number);
  };
  return interpolatedTiming({
    prefillIsl: read('prefill_isl'),
    prefillTtftMs: read('prefill_ttft_ms', 'prefill_ttft'),
    decodeActiveKvTokens: read('decode_active_kv_tokens'),
    decodeContextLength: read('decode_context_length'),
    decodeItlMs: read('decode_itl_ms', 'decode_itl'),
  });
}
