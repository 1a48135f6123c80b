import type { BackendName } from '../formats/deployment/backend.ts';

/**
 * KV tokens that an engine says it can hold, summed over its attention ranks; undefined when its log does not tell.
 * vLLM's own cache size is preferred to `Maximum concurrency`, which is rounded to two decimals (0.5 % off).
 */
export function kvCapacityFromLog(backend: BackendName, log: string, attentionDp = 1): number | undefined {
  switch (backend) {
    case 'vllm': {
      const exact = /GPU KV cache size: ([\d,]+) tokens/.exec(log)?.[1];
      if (exact !== undefined) return integer(exact) * attentionDp;
      return scaled(vllmCapacityFromConcurrency(log), attentionDp);
    }
    case 'sglang': {
      const tokens = log
        .split('\n')
        .find((line) => line.includes('KV Cache is allocated'))
        ?.match(/#tokens:\s*(\d+)/)?.[1];
      const total = tokens ?? /max_total_num_tokens=(\d+)/.exec(log)?.[1];
      return scaled(total === undefined ? undefined : integer(total), attentionDp);
    }
    case 'trtllm': {
      // A first allocation estimates; the last one holds.
      const sizes = [...log.matchAll(/Allocated .*for max tokens in paged KV cache \((\d+)\)/g)];
      const last = sizes.at(-1)?.[1];
      return last === undefined ? undefined : integer(last);
    }
  }
}

/** The reference's reading of vLLM's log: context length times the printed concurrency, truncated. */
export function vllmCapacityFromConcurrency(log: string): number | undefined {
  const found = /Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x[^\S\n]*$/m.exec(log);
  return found === null ? undefined : Math.trunc(integer(found[1]!) * Number(found[2]));
}

function integer(text: string): number {
  return Number(text.replaceAll(',', ''));
}

function scaled(tokens: number | undefined, ranks: number): number | undefined {
  return tokens === undefined ? undefined : tokens * ranks;
}
