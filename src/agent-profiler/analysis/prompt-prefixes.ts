import type { Trace } from '../input/event.ts';
import { llmName } from '../output/flat-table.ts';
import { byCodePoint, getOrMake } from './column.ts';
import { containedTexts } from './contained.ts';
import { type RadixNode, RadixTree, TEXT_ROOM_BYTES, type TextRoom, utf8Points } from './radix-tree.ts';

interface CommonPrefix {
  readonly prefix: string;
  /** Code points. */
  readonly prefix_length: number;
  readonly calls_count: number;
  readonly calls_percentage: number;
}

export interface ModelPrefixes {
  readonly total_calls: number;
  readonly prefix_info: readonly CommonPrefix[];
}

/** Which rows count as calls: LLM starts, or every row as in the reference, whose ends double the total. */
export type CallRows = 'starts' | 'all-rows';

/** Prompt prefixes by model, in one radix tree each; memory is the distinct bytes of the prompts. */
export class PromptPrefixCollector {
  readonly #rows: CallRows;
  readonly #trees = new Map<string, RadixTree>();
  readonly #totals = new Map<string, number>();
  readonly #room: TextRoom;

  constructor(rows: CallRows, maxTextBytes = TEXT_ROOM_BYTES) {
    this.#rows = rows;
    this.#room = { bytes: maxTextBytes };
  }

  /** Whether prompts were not kept whole to stay within the bound: prefixes that first came later are missing. */
  get isCut(): boolean {
    return [...this.#trees.values()].some((tree) => tree.isCut);
  }

  add(trace: Trace): void {
    for (const event of trace.events) {
      const isStart = event.type === 'LLM_START';
      if (!isStart && this.#rows === 'starts') continue;
      const name = llmName(event);
      this.#totals.set(name, (this.#totals.get(name) ?? 0) + 1);
      if (isStart) this.tree(name).insert(event.inputText ?? (this.#rows === 'starts' ? '' : 'None'));
    }
  }

  models(): readonly string[] {
    return [...this.#trees.keys()].sort(byCodePoint);
  }

  /** The prompts of a model as a tree. */
  tree(name: string): RadixTree {
    return getOrMake(this.#trees, name, () => new RadixTree(this.#room));
  }

  /** Models by code point, each with its prefixes of at least `minFrequency` of its calls, longest first. */
  finish(minFrequency: number): Readonly<Record<string, ModelPrefixes>> {
    const names = [...this.#totals.keys()].sort(byCodePoint);
    return Object.fromEntries(
      names.map((name) => {
        const total = this.#totals.get(name)!;
        return [
          name,
          { total_calls: total, prefix_info: commonPrefixes(this.tree(name), total, minFrequency) },
        ];
      }),
    );
  }
}

interface Candidate {
  readonly text: Buffer;
  readonly length: number;
  readonly count: number;
}

/**
 * Only the deepest qualifying nodes of each branch can survive: whatever lies above them on the way to the
 * root is a head of theirs. What is left is ordered by length, then count, then tree order (children seen
 * last first), and loses what a longer one contains.
 */
function commonPrefixes(tree: RadixTree, total: number, minFrequency: number): readonly CommonPrefix[] {
  const candidates: Candidate[] = [];
  const qualifies = (node: RadixNode): boolean => tree.count(node) / total >= minFrequency;
  const todo: RadixNode[] = [0];
  while (todo.length > 0) {
    const node = todo.pop()!;
    const below = tree.children(node).filter(qualifies);
    if (below.length > 0) todo.push(...below);
    else if (node !== 0) {
      const text = tree.path(node);
      candidates.push({ text, length: utf8Points(text), count: tree.count(node) });
    }
  }
  candidates.sort((a, b) => b.length - a.length || b.count - a.count);
  const inside = containedTexts(candidates.map(({ text }) => text));
  return candidates
    .filter((_, i) => !inside[i])
    .map(({ text, length, count }) => ({
      prefix: text.toString('utf8'),
      prefix_length: length,
      calls_count: count,
      calls_percentage: count / total,
    }));
}
