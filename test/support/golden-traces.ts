import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Trace } from '../../src/agent-profiler/input/event.ts';
import { TraceReader } from '../../src/agent-profiler/input/trace-reader.ts';

const folder = join(import.meta.dirname, '..', 'golden', 'agent-profiler');

export function goldenText(name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

// biome-ignore lint/suspicious/noExplicitAny: golden files have as many shapes as analyses
export function golden(name: string): any {
  return JSON.parse(goldenText(name));
}

/** The traces of a JSON text in any shape; a fault fails the test. */
export function tracesOf(text: string): readonly Trace[] {
  const reader = new TraceReader((fault) => {
    throw new Error(`line ${fault.line}: ${fault.reason}`);
  });
  reader.push(Buffer.from(text));
  reader.end();
  return reader.take().map(({ events }, index) => ({ index, events }));
}

export function goldenTraces(workflow: 'a' | 'b' | 'c'): readonly Trace[] {
  return tracesOf(goldenText(`${workflow}.input.json`));
}

/** Compares with relative tolerance 1e-9 on numbers and exactly on everything else. */
export function expectClose(actual: unknown, expected: unknown, path = '$'): void {
  if (typeof expected === 'number' && typeof actual === 'number') {
    const tolerance = 1e-9 * Math.max(1e-9, Math.abs(expected), Math.abs(actual));
    if (Math.abs(actual - expected) > tolerance) expect.fail(`${path}: ${actual} instead of ${expected}`);
  } else if (Array.isArray(expected)) {
    expect(Array.isArray(actual), `${path} is a list`).toBe(true);
    expect((actual as unknown[]).length, `${path}.length`).toBe(expected.length);
    for (const [i, item] of expected.entries()) expectClose((actual as unknown[])[i], item, `${path}[${i}]`);
  } else if (typeof expected === 'object' && expected !== null) {
    expect(Object.keys(actual as object).sort(), `keys of ${path}`).toEqual(Object.keys(expected).sort());
    for (const [key, item] of Object.entries(expected))
      expectClose((actual as Record<string, unknown>)[key], item, `${path}.${key}`);
  } else expect(actual, path).toBe(expected);
}

export type Row = readonly [type: string, timeS: number, uuid: string, more?: RowDetails];

interface RowDetails {
  readonly name?: string;
  readonly fn?: string;
  readonly fnId?: string;
  readonly fnParent?: string;
  readonly parentId?: string;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly spanStartS?: number;
  readonly tokens?: Readonly<Record<string, number>>;
}

/** A trace written as rows of type, time and UUID. */
export function traceOf(...rows: readonly Row[]): Trace {
  return { ...tracesOf(JSON.stringify([rows.map(rawRow)]))[0]!, index: 0 };
}

export function rawRow([type, timeS, uuid, more = {}]: Row): object {
  const fnId = more.fnId ?? more.fn ?? 'root';
  return {
    parent_id: more.parentId ?? fnId,
    function_ancestry: {
      function_id: fnId,
      function_name: more.fn ?? 'root',
      parent_id: more.fnParent ?? (more.fn === undefined ? null : 'root'),
      parent_name: more.fnParent ?? null,
    },
    payload: {
      event_type: type,
      event_timestamp: timeS,
      UUID: uuid,
      name: more.name ?? null,
      span_event_timestamp: more.spanStartS ?? null,
      data:
        more.input === undefined && more.output === undefined
          ? null
          : { input: more.input, output: more.output },
      usage_info: more.tokens === undefined ? null : { token_usage: more.tokens },
    },
  };
}
