import { pythonFloat } from './number-text.ts';
import type { Reduced, ReducedNumber } from './stats.ts';

/** vLLM's periodic line, character for character; numbers as Python writes them, children as its dict literals. */
export function transferLogLine(reduced: Reduced): string {
  const parts = reduced.map((stat) =>
    'children' in stat
      ? `${stat.key}={${stat.children.map((child) => `'${child.key}': ${nestedText(child)}`).join(', ')}}`
      : `${stat.key}=${plainText(stat)}`,
  );
  return `KV Transfer metrics: ${parts.join(', ')}`;
}

function plainText({ value, kind }: ReducedNumber): string {
  return kind === 'int' ? `${value}` : pythonFloat(value);
}

function nestedText(stat: ReducedNumber): string {
  return stat.kind === 'numpy' ? `np.float64(${plainText(stat)})` : plainText(stat);
}
