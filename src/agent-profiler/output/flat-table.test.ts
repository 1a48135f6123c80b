import { describe, expect, test } from 'vitest';
import { golden, goldenText, goldenTraces } from '../../../test/support/golden-traces.ts';
import { completionTokens } from '../analysis/llm-columns.ts';
import type { Trace } from '../input/event.ts';
import { type FlatTableOptions, tableHeader, tableRows } from './flat-table.ts';

function table(traces: readonly Trace[], llmColumns: boolean, excludeText: boolean): string {
  const oslByUuid = new Map<string, number>();
  for (const { events } of traces) completionTokens(events, oslByUuid);
  const options: FlatTableOptions = { llmColumns, excludeText, oslByUuid, noLlmStarts: false };
  return `${tableHeader(options)}\n${traces.flatMap((trace) => [...tableRows(trace, options)]).join('')}`;
}

describe('the flat table', () => {
  test.each(['a', 'b', 'c'] as const)('equals the reference byte for byte on workflow %s', (workflow) => {
    const written = table(goldenTraces(workflow), true, false);
    expect(written).toBe(goldenText(`${workflow}.standardized_data_all.csv`));
  });

  test('leaves texts and LLM columns out on request', () => {
    const expected =
      golden('variants.json')['csv_exclude_io_text=true, compute_llm_metrics=false, c request 0: CSV'];
    expect(table(goldenTraces('c').slice(0, 1), false, true)).toBe(expected);
  });
});
