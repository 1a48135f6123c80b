import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { golden, goldenText, goldenTraces, rawRow } from '../../../test/support/golden-traces.ts';
import { llmLatencies } from '../analysis/base-metrics.ts';
import { NestedStackCollector } from '../analysis/nested-stack.ts';
import { pythonFloat } from './python-number.ts';
import { pythonText } from './python-text.ts';
import { readTraceFiles } from './trace-files.ts';
import { TraceReader } from './trace-reader.ts';

const event = (timeS: number, uuid = `u${timeS}`) =>
  rawRow(['TOOL_START', timeS, uuid, { parentId: 'root' }]);
const times = (requests: readonly { readonly events: readonly { readonly timeS: number }[] }[]) =>
  requests.map(({ events }) => events.map(({ timeS }) => timeS));

/** Reads a text in pieces of a size; times of the events by request, and the lines with faults. */
function read(text: string, pieceBytes = 1 << 20) {
  const faults: number[] = [];
  const reader = new TraceReader(({ line }) => faults.push(line));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  reader.end();
  return { requests: times(reader.take()), faults };
}

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folderOf(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'agent-input-'));
  folders.push(folder);
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

async function readFiles(paths: readonly string[], stdin?: Readable) {
  const faults: string[] = [];
  const traces = [];
  const options = {
    onFault: (f: { path: string; line: number }) => faults.push(`${f.path.split('/').at(-1)}:${f.line}`),
    ...(stdin ? { stdin } : {}),
  };
  for await (const trace of readTraceFiles(paths, options)) traces.push(trace);
  return { traces, requests: times(traces), faults };
}

describe('the shapes of a trace file', () => {
  const requests = [[event(1), event(2)], [], [event(3)]];
  const expected = [[1, 2], [], [3]];

  test.each([
    ['a list of lists of events', requests],
    [
      'the profiler’s own traces',
      requests.map((steps, i) => ({ request_number: i, intermediate_steps: steps })),
    ],
    [
      'items of workflow_output.json',
      requests.map((steps, i) => ({
        id: i,
        question: 'q [{',
        answer: null,
        intermediate_steps: steps,
        expected_intermediate_steps: [],
      })),
    ],
    ['items whose steps come first', requests.map((steps, i) => ({ intermediate_steps: steps, id: i }))],
  ])('%s, however it is indented or cut', (_, value) => {
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)])
      for (const piece of [1, 7, 1 << 20])
        expect(read(text, piece)).toEqual({ requests: expected, faults: [] });
  });

  test('items without steps keep their place', () => {
    expect(
      read(
        JSON.stringify([
          { id: 0, intermediate_steps: null },
          { id: 1, intermediate_steps: [event(1)] },
        ]),
      ).requests,
    ).toEqual([[], [1]]);
  });

  test('a single list of events is one request', () => {
    expect(read(JSON.stringify([event(1), event(2)])).requests).toEqual([[1, 2]]);
  });

  test('texts with brackets, quotes and any script do not disturb', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    const property = fc.property(
      fc.array(text, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 9 }),
      (texts, piece) => {
        const steps = texts.map((t, i) =>
          rawRow(['LLM_START', i, `u${i}`, { name: t, input: `${t}"]}[{\\` }]),
        );
        expect(read(JSON.stringify([steps]), piece)).toEqual({
          requests: [texts.map((_, i) => i)],
          faults: [],
        });
      },
    );
    fc.assert(property, { numRuns: 200 });
  });
});

describe('broken input', () => {
  const line = (timeS: number) => JSON.stringify(event(timeS));

  test.each([
    ['a text that does not end', '{"payload": {"event_type": "TOOL_ST'],
    ['brackets that do not match', '{"payload": ]}'],
    ['a bracket too few', '{"payload": {"event_type": "TOOL_START"}'],
    ['an unknown event type', JSON.stringify({ payload: { event_type: 'DANCE', event_timestamp: 1 } })],
    ['no time', JSON.stringify({ payload: { event_type: 'TOOL_START' } })],
    ['a word', 'nonsense'],
  ])('costs one event: %s', (_, broken) => {
    const text = `[\n[\n${line(1)},\n${broken},\n${line(2)}\n],\n[\n${line(3)}\n]\n]\n`;
    for (const piece of [5, 1 << 20])
      expect(read(text, piece)).toEqual({ requests: [[1, 2], [3]], faults: [4] });
  });

  test('in an indented file costs the event it is in', () => {
    const text = JSON.stringify([[event(1), event(2), event(3)]], null, 2);
    const broken = text.replace('"event_timestamp": 2,', '"event_timestamp": 2 "oops,');
    const { requests, faults } = read(broken);
    expect(requests).toEqual([[1, 3]]);
    expect(faults).toHaveLength(1);
  });

  test('is gone on after at the next event, though the bytes are cut before it', () => {
    const text = JSON.stringify([[event(1), event(2), event(3)]], null, 2).replace('\n    },\n', '\n    ,\n');
    for (const piece of [1, 3, 1 << 20])
      expect(read(text, piece)).toEqual({ requests: [[2, 3]], faults: [3] });
  });

  test('at the end loses only what is missing', () => {
    const text = JSON.stringify([[event(1)], [event(2), event(3)]]);
    const cut = read(text.slice(0, -30));
    expect(cut.requests).toEqual([[1], [2]]);
    expect(cut.faults).toHaveLength(1);
  });

  test('of another kind is told of, line by line, and comes to an end', () => {
    expect(read('name: x\nkeys:\n  - 1\n')).toEqual({ requests: [], faults: [1, 1] });
    expect(read(`{"a"::1}\n${JSON.stringify([[event(1)]])}`)).toEqual({ requests: [[1]], faults: [1] });
  });

  test('is told from a byte order mark, though it is cut', () => {
    expect(read(`\ufeff${JSON.stringify([[event(1)]])}`, 2)).toEqual({ requests: [[1]], faults: [] });
  });

  test('NaN and Infinity, which Python writes, are read as null', () => {
    const text = JSON.stringify([[{ ...event(1), extra: 'x' }]]).replace('"x"', 'NaN');
    expect(read(text)).toEqual({ requests: [[1]], faults: [] });
  });
});

describe('files', () => {
  test('JSON Lines of events part where a workflow starts, and broken lines are named', async () => {
    const start = (timeS: number) =>
      JSON.stringify(rawRow(['WORKFLOW_START', timeS, `w${timeS}`, { parentId: 'root' }]));
    const text = [start(1), JSON.stringify(event(2)), '{broken', start(3), ''].join('\n');
    const folder = folderOf({ 'events.jsonl': text });
    const { requests, faults } = await readFiles([join(folder, 'events.jsonl')]);
    expect(requests).toEqual([[1, 2], [3]]);
    expect(faults).toEqual(['events.jsonl:3']);
  });

  test('JSON Lines of runs side by side find their run by their own UUID or their parent’s', async () => {
    const line = (type: string, timeS: number, uuid: string, parentId: string) =>
      JSON.stringify(rawRow([type, timeS, uuid, { parentId }]));
    const text = [
      line('TOOL_START', 0, 'before', 'root'),
      line('WORKFLOW_START', 1, 'a', 'root'),
      line('WORKFLOW_START', 2, 'b', 'root'),
      line('FUNCTION_START', 3, 'fa', 'a'),
      line('FUNCTION_START', 4, 'fb', 'b'),
      line('WORKFLOW_START', 5, 'never-ends', 'root'),
      line('LLM_START', 6, 'la', 'fa'),
      line('LLM_END', 7, 'la', 'lost'),
      line('WORKFLOW_END', 8, 'b', 'root'),
      line('TOOL_START', 9, 'stranger', 'lost'),
      line('WORKFLOW_END', 10, 'a', 'root'),
      line('WORKFLOW_START', 11, 'b', 'root'),
      line('FUNCTION_END', 12, 'fb', 'b'),
    ].join('\n');
    const { requests } = await readFiles([join(folderOf({ 'x.jsonl': text }), 'x.jsonl')]);
    expect(requests).toEqual([[0], [2, 4, 8], [1, 3, 6, 7, 10], [5, 9], [11, 12]]);
  });

  test('items keep what they call themselves', async () => {
    const text = JSON.stringify([
      { id: 'q7', intermediate_steps: [event(1)] },
      { id: 3, intermediate_steps: [] },
      [event(2)],
    ]);
    const { traces } = await readFiles([folderOf({ 'x.json': text })]);
    expect(traces.map(({ id }) => id)).toEqual(['q7', 3, undefined]);
  });

  test('JSON Lines of requests, lists, or events with numbers', async () => {
    const rows = [
      { intermediate_steps: [event(1)] },
      [event(2), event(3)],
      { ...event(4), request_number: 7 },
      { ...event(5), request_number: 7 },
      { ...event(6), request_number: 8 },
    ];
    const folder = folderOf({ 'x.ndjson': rows.map((row) => JSON.stringify(row)).join('\n') });
    expect((await readFiles([folder])).requests).toEqual([[1], [2, 3], [4, 5], [6]]);
  });

  test('a folder is read by name, gzip by its content, and requests are numbered through', async () => {
    const folder = folderOf({
      'b.json': JSON.stringify([[event(2)]]),
      'a.json.gz': gzipSync(JSON.stringify([[event(1)], []])),
      'notes.txt': 'x',
    });
    const { requests, traces } = await readFiles([folder]);
    expect(requests).toEqual([[1], [], [2]]);
    expect(traces.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  test('standard input is read for a dash', async () => {
    const stdin = Readable.from([gzipSync(JSON.stringify([[event(1)]]))]);
    expect((await readFiles(['-'], stdin)).requests).toEqual([[1]]);
  });

  test('a missing file and an empty folder are errors that name them', async () => {
    await expect(readFiles(['/nowhere/traces.json'])).rejects.toThrow('/nowhere/traces.json');
    await expect(readFiles([folderOf({})])).rejects.toThrow('holds no trace file');
  });
});

describe('ATIF trajectories', () => {
  test('give the calls of the run they were made from', async () => {
    const item = {
      item_id: 'a',
      trajectory: golden('a0.atif.json'),
      expected_output_obj: null,
      output_obj: 'done',
      metadata: {},
    };
    const folder = folderOf({
      'workflow_output_atif.json': JSON.stringify([item], null, 2),
      'plain.json': goldenText('c2.atif.json'),
    });
    const { traces, faults } = await readFiles([
      join(folder, 'workflow_output_atif.json'),
      join(folder, 'plain.json'),
    ]);
    expect(faults).toEqual([]);
    expect(traces.map((trace) => llmLatencies(trace, 'uuid'))).toEqual(
      [goldenTraces('a')[0]!, goldenTraces('c')[2]!].map((trace) => llmLatencies(trace, 'uuid')),
    );
    expect(
      traces[0]!.events.filter(({ type }) => type === 'LLM_END').map(({ usage }) => usage?.cached),
    ).toEqual([0, 10, 13]);
    expect(traces[0]!.trajectory?.session_id).toBe('a-0');
  });

  test('write the function of a tool once as a function, not twice as a tool', async () => {
    const folder = folderOf({ 'c2.json': goldenText('c2.atif.json') });
    const { traces } = await readFiles([folder]);
    const kinds = traces[0]!.events
      .filter(({ phase }) => phase === 'start')
      .map(({ kind, name }) => `${kind} ${name}`);
    expect(kinds.filter((kind) => kind.startsWith('TOOL'))).toEqual([
      'TOOL calculator__multiply',
      'TOOL calculator__divide',
    ]);
    expect(kinds.filter((kind) => kind.startsWith('FUNCTION'))).toHaveLength(2);
    const collector = new NestedStackCollector('parent-links');
    collector.add(traces[0]!);
    expect(collector.finish().size).toBe(6);
  });

  test('of version 1.7 keep ancestry and times on the tool calls; sub-agents hang under their parent', () => {
    const step = (id: number, extra: object) => ({
      step_id: id,
      source: 'agent',
      timestamp: `2024-01-01T00:00:0${id}Z`,
      model_name: 'm',
      message: 'x',
      metrics: { prompt_tokens: 1 },
      ...extra,
    });
    const call = {
      tool_call_id: 't',
      function_name: 'f',
      arguments: {},
      extra: {
        ancestry: { function_id: 'fid', function_name: 'agent' },
        invocation: { start_timestamp: 5, end_timestamp: 7 },
      },
    };
    const child = {
      schema_version: 'ATIF-v1.7',
      trajectory_id: 'sub',
      agent: { name: 'helper', version: '1' },
      steps: [step(3, {})],
    };
    const trajectory = {
      schema_version: 'ATIF-v1.7',
      agent: { name: 'a', version: '1' },
      steps: [step(1, {}), step(2, { tool_calls: [call] })],
      subagent_trajectories: [child],
    };
    const reader = new TraceReader(() => expect.fail('no fault'));
    reader.line(JSON.stringify(trajectory), 1);
    const { events } = reader.take()[0]!;
    expect(
      events
        .filter(({ type }) => type.startsWith('TOOL'))
        .map(({ timeS, functionName }) => [timeS, functionName]),
    ).toEqual([
      [5, 'agent'],
      [7, 'agent'],
    ]);
    expect(events.filter(({ type }) => type === 'LLM_END').map(({ functionName }) => functionName)).toEqual([
      'root',
      'root',
      'helper',
    ]);
  });
});

describe('texts as Python prints them', () => {
  test.each([
    [
      '{"a": 1.0, "b": [true, null, -0.5e-7], "c": 12345678901234567890}',
      "{'a': 1.0, 'b': [True, None, -5e-08], 'c': 12345678901234567890}",
    ],
    [
      `["it's", "say \\"it's\\"", "tab\\t", "\\u200b", "é日"]`,
      `["it's", 'say "it\\'s"', 'tab\\t', '\\u200b', 'é日']`,
    ],
    ['[]', '[]'],
    ['{"b": 1.0, "10": 2, "2": 3.5}', "{'b': 1.0, '10': 2, '2': 3.5}"],
  ])('%s', (source, expected) => {
    expect(pythonText(JSON.parse(source), () => source)).toBe(expected);
  });

  test('of floats are the shortest that read back, with a decimal', () => {
    expect([5, 0.1, 1e16, 1e-5, 1700000000.0625, -0, 123456789012345680].map(pythonFloat)).toEqual([
      '5.0',
      '0.1',
      '1e+16',
      '1e-05',
      '1700000000.0625',
      '-0.0',
      '1.2345678901234568e+17',
    ]);
  });

  test('have what Python writes beside JSON', () => {
    expect(pythonText([null, null, null], () => '[NaN, Infinity, -Infinity]')).toBe('[nan, inf, -inf]');
  });

  test('keep number literals of prompts through the reader', () => {
    const text = JSON.stringify([[rawRow(['LLM_START', 1, 'u', { input: [{ x: 0.5 }] }])]]).replace(
      '0.5',
      '2.0',
    );
    const reader = new TraceReader(() => expect.fail('no fault'));
    reader.push(Buffer.from(text));
    reader.end();
    expect(reader.take()[0]!.events[0]!.inputText).toBe("[{'x': 2.0}]");
  });
});
