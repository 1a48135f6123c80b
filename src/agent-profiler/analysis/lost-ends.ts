import type { Span } from './span-tree.ts';

/**
 * Gives spans that never ended the end they must have had. The toolkit writes no end for a tool or a model call that
 * raised an error, and takes what the task does next for a part of it:
 * - a tool ended with the function it ran, and what starts later under it belongs to what is around it;
 * - a model call runs nothing, so it had ended when the first span under it started; so had a tool that ran no
 *   function, if what is around it came to its end;
 * - whatever else is open ends with the span around it at the latest.
 *
 * Spans stand in order of their starts, the open ones ending with their trace; they keep their mark as open.
 */
export function mendLostEnds(spans: readonly Span[]): void {
  if (!spans.some(({ open }) => open)) return;
  // Of open spans: whether their first child has been seen, and whether it told their end.
  const seen = new Uint8Array(spans.length);
  const known = new Uint8Array(spans.length);
  for (const [i, span] of spans.entries()) {
    let { parent } = span;
    const around = parent < i ? spans[parent] : undefined;
    if (around?.open && seen[parent] === 0) {
      const endS = endByFirstChild(around, span, spans[around.parent]?.open === false);
      seen[parent] = 1;
      if (endS !== undefined) {
        known[parent] = 1;
        around.endS = endS;
      }
    }
    while (known[parent] === 1 && spans[parent]!.endS <= span.startS) parent = spans[parent]!.parent;
    span.parent = parent;
  }
  for (const [i, span] of spans.entries()) {
    const around = span.parent < i ? spans[span.parent] : undefined;
    if (span.open && known[i] === 0 && around !== undefined && around.endS > span.startS)
      span.endS = Math.min(span.endS, around.endS);
  }
}

/** When an open span ended, as its first child tells; undefined when it does not tell. */
function endByFirstChild({ type }: Span, child: Span, runIsWhole: boolean): number | undefined {
  if (type === 'LLM') return child.startS;
  if (type !== 'TOOL') return undefined;
  if (child.type === 'FUNCTION') return child.open ? undefined : child.endS;
  return runIsWhole ? child.startS : undefined;
}
