import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces, TICK_S } from '../../../test/support/random-traces.ts';
import { type SlowSpan, slowLevel, slowSpans } from '../../../test/support/slow-spans.ts';
import type { Trace } from '../input/event.ts';
import { type Waste, WasteCollector } from './waste.ts';

function wasteOf(traces: readonly Trace[]): Waste {
  const collector = new WasteCollector();
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

/** Time of a span in which none of the others runs, tick by tick. */
function slowOwn({ startS, endS }: SlowSpan, others: readonly SlowSpan[]): number {
  let ownS = 0;
  for (let atS = startS; atS < endS; atS += TICK_S) if (slowLevel(others, atS) === 0) ownS += TICK_S;
  return ownS;
}

/** The nearest span above that is no function; -1 without one. */
function callAbove(spans: readonly SlowSpan[], i: number): number {
  const { parent } = spans[i]!;
  return parent < 0 || spans[parent]!.type !== 'FUNCTION' ? parent : callAbove(spans, parent);
}

/** Groups of tools that follow each other; in ticks, only those that touch. */
function slowSerial(spans: readonly SlowSpan[]): Waste['serialTools'] {
  let groups = 0;
  let savableS = 0;
  for (const parent of new Set(spans.map((span) => span.parent))) {
    const siblings = spans.filter((span) => span.parent === parent && span.end !== undefined);
    const follows = siblings.map(
      (span, i) =>
        span.type === 'TOOL' && siblings[i - 1]?.type === 'TOOL' && siblings[i - 1]!.endS === span.startS,
    );
    for (let from = 0, to = 1; from < siblings.length; from = to) {
      to = from + 1;
      while (follows[to]) to++;
      const lengths = siblings.slice(from, to).map(({ startS, endS }) => endS - startS);
      if (lengths.length < 2) continue;
      groups++;
      savableS += lengths.reduce((sum, length) => sum + length, 0) - Math.max(...lengths);
    }
  }
  return { groups, savableS };
}

function countBy(names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(names.map((name) => [name, names.filter((other) => other === name).length]));
}

test('waste is what a reading span by span, tick by tick, finds', () => {
  const property = fc.property(randomTraces(), (traces) => {
    const { toolSeconds, openSpans, ...rest } = wasteOf(traces);
    const all = traces.map((trace) => slowSpans(trace, 'parent-links', true));
    const flat = all.flat();
    const ofType = (type: SlowSpan['type']) => flat.filter((span) => span.type === type);
    const seconds = (spans: readonly SlowSpan[]) =>
      spans.reduce((sum, { startS, endS }) => sum + endS - startS, 0);
    const tools = all.flatMap((spans) =>
      spans.flatMap((span, i) =>
        span.type === 'TOOL'
          ? [
              [
                span.name,
                slowOwn(
                  span,
                  spans.filter((other, j) => other.type !== 'FUNCTION' && callAbove(spans, j) === i),
                ),
              ] as const,
            ]
          : [],
      ),
    );
    const sumOf = (name: string) =>
      tools.filter(([other]) => other === name).reduce((sum, [, s]) => sum + s, 0);
    expectClose(
      Object.fromEntries(toolSeconds),
      Object.fromEntries(tools.map(([name]) => [name, sumOf(name)])),
    );
    expect(Object.fromEntries(openSpans)).toEqual(
      countBy(flat.filter(({ end }) => !end).map(({ name }) => name)),
    );
    const starts = traces.flatMap(({ events }, t) =>
      events
        .filter(({ type, inputText }) => type === 'LLM_START' && inputText)
        .map((event) => ({ event, t })),
    );
    const repeated = starts.flatMap(({ event, t }, i) => {
      const again =
        starts.findIndex(({ event: e }) => e.name === event.name && e.inputText === event.inputText) < i;
      const span = all[t]!.findLast(({ start }) => start.uuid === event.uuid);
      return again && span !== undefined ? [span] : [];
    });
    const serial = all.map(slowSerial);
    expectClose(rest, {
      serialTools: {
        groups: serial.reduce((sum, { groups }) => sum + groups, 0),
        savableS: serial.reduce((sum, { savableS }) => sum + savableS, 0),
      },
      repeatedPrompts: {
        calls: repeated.length,
        seconds: seconds(repeated),
        tokens: repeated.reduce(
          (sum, { start, end }) => sum + (end?.usage?.prompt ?? start.usage?.prompt ?? 0),
          0,
        ),
      },
      functionSelfS: all
        .flatMap((spans) =>
          spans.map((span, i) => {
            const children = spans.filter(({ parent }) => parent === i);
            return span.type === 'FUNCTION' && children.length > 0 ? slowOwn(span, children) : 0;
          }),
        )
        .reduce((sum, ownS) => sum + ownS, 0),
      llmS: seconds(ofType('LLM')),
      toolS: tools.reduce((sum, [, ownS]) => sum + ownS, 0),
      llmCalls: ofType('LLM').length,
      callsWithoutUsage: ofType('LLM').filter(({ start, end }) => {
        const usage = end && (end.usage ?? start.usage);
        return end && (usage?.prompt ?? 0) + (usage?.total ?? 0) === 0;
      }).length,
    });
  });
  fc.assert(property, { numRuns: 300 });
});

const tool = (uuid: string, from: number, to: number | undefined, parentId: string, name = 'look') =>
  [
    ['TOOL_START', from, uuid, { name, parentId }] as const,
    ['FUNCTION_START', from, `${uuid}-f`, { fn: name, fnId: `${uuid}-f`, parentId: uuid }] as const,
    ['FUNCTION_END', to ?? from + 1, `${uuid}-f`, { fn: name, fnId: `${uuid}-f`, parentId: uuid }] as const,
    ...(to === undefined ? [] : [['TOOL_END', to, uuid, { name, parentId }] as const]),
  ] as const;

test('a tool that failed and was tried again costs what it ran, and could not have run beside its next try', () => {
  const failed = traceOf(
    ['FUNCTION_START', 0, 'w', { fn: 'w', parentId: 'root' }],
    ...tool('first', 1, undefined, 'w'),
    // The toolkit still takes the first for the one around it.
    ...tool('again', 2, 3, 'first'),
    ['LLM_START', 3, 'llm', { name: 'm', parentId: 'first' }],
    ['LLM_END', 99, 'llm', { name: 'm', parentId: 'first' }],
    ['FUNCTION_END', 99, 'w', { fn: 'w', parentId: 'root' }],
  );
  const waste = wasteOf([failed]);
  expect(Object.fromEntries(waste.toolSeconds)).toEqual({ look: 2 });
  expect(waste).toMatchObject({ toolS: 2, llmS: 96, functionSelfS: 1, serialTools: { groups: 0 } });
  expect(Object.fromEntries(waste.openSpans)).toEqual({ look: 1 });
});
