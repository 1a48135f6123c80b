import { Heap } from '../../base/heap.ts';
import { getOrMake } from '../analysis/column.ts';
import { operationType } from '../analysis/span-tree.ts';
import { byTime, type Trace } from '../input/event.ts';
import type { CallSample } from './call-samples.ts';

/** Whether the function around a call counts as its sibling: it does in the reference, and always outlasts it. */
export type SlackRule = 'with-own-function' | 'siblings-only';

interface Sibling {
  readonly uuid: string;
  readonly startS: number;
  readonly endS: number;
}

/**
 * How much of the longest overlapping sibling a call leaves unused: max(0, 1 - duration / longest), 0 without
 * one. Siblings are finished spans under the parent of the call's function, else under the call's own parent.
 * O(n log n).
 */
export function slackRatios(trace: Trace, calls: readonly CallSample[], rule: SlackRule): readonly number[] {
  const byParent = finishedSpans(trace);
  const queries = new Map<string, number[]>();
  for (const [i, { end }] of calls.entries()) {
    const upper = end.functionParentId;
    const parent = upper !== null && upper !== '' && byParent.has(upper) ? upper : end.parentId;
    getOrMake(queries, parent, () => []).push(i);
  }
  const ratios = new Array<number>(calls.length).fill(0);
  for (const [parent, asked] of queries) {
    const siblings = byParent.get(parent);
    if (siblings !== undefined) markRatios(siblings, calls, asked, rule, ratios);
  }
  return ratios;
}

function finishedSpans(trace: Trace): Map<string, Sibling[]> {
  const starts = new Map<string, { readonly parent: string; readonly startS: number }>();
  const byParent = new Map<string, Sibling[]>();
  for (const event of byTime(trace.events)) {
    if (operationType(event.kind) === undefined) continue;
    if (event.phase === 'start') starts.set(event.uuid, { parent: event.parentId, startS: event.timeS });
    else if (event.phase === 'end') {
      const start = starts.get(event.uuid);
      if (start === undefined) continue;
      getOrMake(byParent, start.parent, () => []).push({
        uuid: event.uuid,
        startS: start.startS,
        endS: event.timeS,
      });
    }
  }
  return byParent;
}

function markRatios(
  siblings: Sibling[],
  calls: readonly CallSample[],
  asked: readonly number[],
  rule: SlackRule,
  ratios: number[],
): void {
  const byStart = siblings.sort((a, b) => a.startS - b.startS);
  const longest = new RangeMax(byStart.map(({ startS, endS }) => endS - startS));
  const places = new Map<string, number[]>();
  for (const [place, { uuid }] of byStart.entries()) getOrMake(places, uuid, () => []).push(place);
  const running = new Heap<Sibling>((a, b) => a.endS - a.startS > b.endS - b.startS);
  let entered = 0;
  for (const i of [...asked].sort((a, b) => calls[a]!.startS - calls[b]!.startS)) {
    const { startS, endS, durationS, end } = calls[i]!;
    while (entered < byStart.length && byStart[entered]!.startS < startS) running.push(byStart[entered++]!);
    if (durationS <= 0) continue;
    const ignored = rule === 'siblings-only' ? [end.uuid, end.functionId] : [end.uuid];
    let mostS = longestRunning(running, startS, ignored);
    // What starts within the call overlaps it; the ignored ones cut the range.
    const cuts = ignored.flatMap((uuid) => places.get(uuid) ?? []).sort((a, b) => a - b);
    const upTo = lowerBound(byStart, endS);
    let from = entered;
    for (const cut of cuts) {
      if (cut < from || cut >= upTo) continue;
      mostS = Math.max(mostS, longest.of(from, cut));
      from = cut + 1;
    }
    mostS = Math.max(mostS, longest.of(from, upTo));
    if (mostS > 0) ratios[i] = Math.max(0, 1 - durationS / mostS);
  }
}

/** The longest span that began before and is still running; those that ended are dropped for good. */
function longestRunning(running: Heap<Sibling>, atS: number, ignored: readonly string[]): number {
  const aside: Sibling[] = [];
  let mostS = 0;
  for (let top = running.peek(); top !== undefined; top = running.peek()) {
    if (top.endS <= atS) running.pop();
    else if (ignored.includes(top.uuid)) aside.push(running.pop()!);
    else {
      mostS = top.endS - top.startS;
      break;
    }
  }
  for (const sibling of aside) running.push(sibling);
  return mostS;
}

function lowerBound(byStart: readonly Sibling[], timeS: number): number {
  let low = 0;
  let high = byStart.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (byStart[middle]!.startS >= timeS) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Maximum over any range of fixed values: O(n log n) to build, O(1) to ask. */
class RangeMax {
  readonly #levels: Float64Array[];

  constructor(values: readonly number[]) {
    this.#levels = [Float64Array.from(values)];
    for (let width = 1; width * 2 <= values.length; width *= 2) {
      const below = this.#levels.at(-1)!;
      const level = new Float64Array(values.length - width * 2 + 1);
      for (let i = 0; i < level.length; i++) level[i] = Math.max(below[i]!, below[i + width]!);
      this.#levels.push(level);
    }
  }

  /** From `from` up to but without `to`; 0 when empty. */
  of(from: number, to: number): number {
    if (to <= from) return 0;
    const level = 31 - Math.clz32(to - from);
    const row = this.#levels[level]!;
    return Math.max(row[from]!, row[to - 2 ** level]!);
  }
}
