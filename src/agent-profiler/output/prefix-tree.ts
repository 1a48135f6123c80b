import type { PromptPrefixCollector } from '../analysis/prompt-prefixes.ts';
import { utf8Points } from '../analysis/radix-tree.ts';

/** A place where prompts that began alike part, or a prompt that was sent several times. */
export interface PrefixBranch {
  /** The text since the parent branch, its middle left out when long. */
  readonly text: string;
  /** Code points of the whole prefix. */
  readonly length: number;
  readonly calls: number;
  /** Tokens that need not be computed again if this stretch is kept, at 4 bytes a token. */
  readonly saved_tokens: number;
  readonly children: readonly PrefixBranch[];
}

const BYTES_PER_TOKEN = 4;
const MIN_LENGTH = 16;
const MAX_CHILDREN = 8;
const MAX_DEPTH = 12;
const SHOWN = 160;
const MIN_SHARE = 0.002;

/** Shared stretches of the prompts of each model, the largest savings first; a dozen levels of eight. */
export function prefixTreeJson(
  prefixes: PromptPrefixCollector,
): Readonly<Record<string, readonly PrefixBranch[]>> {
  return Object.fromEntries(prefixes.models().map((model) => [model, branchesOf(prefixes, model)]));
}

function branchesOf(prefixes: PromptPrefixCollector, model: string): readonly PrefixBranch[] {
  const tree = prefixes.tree(model);
  const visit = (node: number, length: number, depth: number): readonly PrefixBranch[] => {
    const found: PrefixBranch[] = [];
    for (const child of tree.children(node)) {
      const calls = tree.count(child);
      if (calls < 2) continue;
      const label = tree.label(child);
      const whole = length + utf8Points(label);
      const below = depth < MAX_DEPTH ? visit(child, whole, depth + 1) : [];
      if (whole < MIN_LENGTH && below.length === 0) continue;
      const saved = Math.round(((calls - 1) * label.length) / BYTES_PER_TOKEN);
      found.push({
        text: shorten(Buffer.from(label).toString('utf8')),
        length: whole,
        calls,
        saved_tokens: saved,
        children: below,
      });
    }
    return found.sort((a, b) => weight(b) - weight(a)).slice(0, MAX_CHILDREN);
  };
  const whole = visit(0, 0, 0);
  return prune(whole, whole.reduce((sum, branch) => sum + weight(branch), 0) * MIN_SHARE);
}

/** Leaves out branches that save next to nothing. */
function prune(branches: readonly PrefixBranch[], least: number): readonly PrefixBranch[] {
  return branches
    .filter((b) => weight(b) >= least)
    .map((b) => ({ ...b, children: prune(b.children, least) }));
}

function weight({ saved_tokens: own, children }: PrefixBranch): number {
  return children.reduce((sum, child) => sum + weight(child), own);
}

function shorten(text: string): string {
  const points = [...text];
  return points.length <= SHOWN
    ? text
    : `${points.slice(0, SHOWN / 2).join('')} … ${points.slice(-SHOWN / 2).join('')}`;
}
