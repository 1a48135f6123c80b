import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { KvasirError } from '../../base/errors.ts';
import { detectFormat, timeUnit } from './detect-format.ts';
import { parseTrace, type TraceOptions } from './parse-trace.ts';
import { traceSessions } from './sessions.ts';
import { traceLine } from './write-trace.ts';

const golden = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../../test/golden/workload', name), 'utf8');

const failure = (text: string, options: TraceOptions = {}): string => {
  try {
    traceSessions(parseTrace(text, options));
  } catch (error) {
    if (error instanceof KvasirError) return `${error.message} | ${error.hint}`;
    throw error;
  }
  return 'no error';
};

describe('Mooncake rows', () => {
  test('are read with ids, lengths and milliseconds, blank lines skipped', () => {
    const trace = parseTrace(golden('mini.jsonl').replace('\n', '\n\n'));
    expect(trace.format).toBe('mooncake');
    expect(trace.blockSize).toBe(512);
    expect(trace.rows[0]).toEqual({
      line: 1,
      timestampMs: 0,
      inputLength: 2333,
      outputLength: 44,
      hashIds: [20, 21, 22, 122, 1000],
    });
    expect(trace.rows[1]?.line).toBe(3);
    expect(trace.rows.every((row) => row.hashIds?.length === Math.ceil(row.inputLength / 512))).toBe(true);
    expect(trace.warnings).toEqual([]);
  });

  test('take the aliases and extras of the wider row', () => {
    const row = {
      created_time: 1.5,
      input_tokens: 3,
      output_tokens: 2,
      hash_ids: [1],
      request_id: 'r',
      session_id: 's',
      output_token_ids: [7, 8],
      priority: -1,
      strict_priority: 4,
      policy_class: 'gold',
    };
    expect(parseTrace(JSON.stringify(row)).rows[0]).toEqual({
      line: 1,
      timestampMs: 1.5,
      inputLength: 3,
      outputLength: 2,
      hashIds: [1],
      requestId: 'r',
      sessionId: 's',
      outputTokenIds: [7, 8],
      priority: -1,
      strictPriority: 4,
      policyClass: 'gold',
    });
  });

  test('survive being written and read again', () => {
    const rows = parseTrace(golden('mini-sessions.jsonl')).rows;
    expect(parseTrace(rows.map((row) => traceLine(row))).rows).toEqual(rows);
  });

  test('keep ids beyond 2^53 apart that JSON numbers would merge', () => {
    const line = (ids: string) => `{"timestamp":0,"input_length":1024,"output_length":1,"hash_ids":[${ids}]}`;
    const { rows } = parseTrace([
      line('18446744073709551614, 18446744073709551615'),
      line('18446744073709551615,5'),
    ]);
    expect(rows[0]?.hashIds?.[0]).not.toBe(rows[0]?.hashIds?.[1]);
    expect(rows[1]?.hashIds?.[0]).toBe(rows[0]?.hashIds?.[1]);
    expect(rows[1]?.hashIds?.[1]).toBe(5);
  });

  test('are sorted stably by arrival, with a warning', () => {
    const row = (timestamp: number, id: number) =>
      JSON.stringify({ timestamp, input_length: 1, output_length: 1, hash_ids: [id] });
    const trace = parseTrace([row(5, 1), row(0, 2), row(5, 3), row(0, 4)]);
    expect(trace.rows.map(({ hashIds }) => hashIds?.[0])).toEqual([2, 4, 1, 3]);
    expect(trace.warnings).toEqual(['trace: timestamps are not in order; rows were sorted']);
  });

  test('are cut to agree only when repair is asked for, and counted', () => {
    const text = [
      '{"timestamp":0,"input_length":2000,"output_length":1,"hash_ids":[3,7,9]}',
      '{"timestamp":1,"input_length":10,"output_length":1,"hash_ids":[3,7]}',
    ];
    expect(failure(text.join('\n'))).toBe(
      'trace, line 1: has 3 hash_ids where an input of 2000 tokens needs 4 blocks of 512 | ' +
        'Set the block size of the trace, or ask for repair, which cuts the longer of both.',
    );
    expect(failure('{"timestamp":0,"input_length":40,"output_length":1,"hash_ids":[3,7,9]}')).toContain(
      'Set the block size of the trace (16 would fit)',
    );
    const trace = parseTrace(text, { repair: true });
    expect(trace.rows.map((row) => [row.inputLength, row.hashIds])).toEqual([
      [1536, [3, 7, 9]],
      [10, [3]],
    ]);
    expect(trace.repairedRows).toBe(2);
    expect(trace.warnings).toEqual([
      'trace: 2 rows had lengths that disagree with their hash_ids and were cut',
    ]);
  });

  test.each([
    ['{"timestamp":0', 'line 1: is not JSON: "{\\"timestamp\\":0" | Every line must hold one JSON object.'],
    [
      '{"timestamp":0,"input_length":1.5,"output_length":1,"hash_ids":[1]}',
      'line 1: input_length 1.5 is not a whole number',
    ],
    [
      '{"timestamp":"x","input_length":1,"output_length":1,"hash_ids":[1]}',
      'line 1: timestamp "x" is not a number',
    ],
    [
      '{"timestamp":0,"input_length":-4,"output_length":1,"hash_ids":[1]}',
      'line 1: input_length -4 is below 0',
    ],
    ['{"timestamp":0,"output_length":1,"hash_ids":[1]}', 'line 1: has no "input_length"'],
    ['{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[-1]}', 'line 1: hash_ids holds -1'],
    [
      '{"timestamp":0,"input_length":1,"output_length":3,"hash_ids":[1],"output_token_ids":[1]}',
      'line 1: has 1 output_token_ids for an output_length of 3',
    ],
    [
      '{"timestamp":0,"input_length":1,"output_length":3,"hash_ids":[1],"delay":-1,"session_id":"a"}',
      'line 1: delay -1 is below 0',
    ],
    [
      '{"timestamp":0,"input_length":1,"output_length":3,"hash_ids":[1],"delay":1,"session_id":"a"}',
      'line 1: is the first turn of session a and has a delay',
    ],
    ['{"input_length":1,"output_length":3,"hash_ids":[1]}', 'line 1: has neither timestamp nor session_id'],
    ['{"a":1,"b":2}', 'line 1: has the fields a, b, which no known format has'],
    ['x,y\n1,2', 'line 1: is neither a JSON object nor a known CSV header'],
    ['\n\n', 'line 3: ends without a request'],
  ])('that are malformed give the line and the mend: %s', (text, message) => {
    expect(failure(text)).toContain(message);
  });
});

describe('sessions', () => {
  test('hold their turns in file order with the delays of the trace', () => {
    const sessions = traceSessions(parseTrace(golden('mini-sessions.jsonl')));
    expect(sessions).toHaveLength(8);
    expect(sessions.map((session) => session.turns.length).reduce((a, b) => a + b)).toBe(27);
    expect(sessions[0]?.turns.map((turn) => turn.delayMs)).toEqual([0, 150, 100]);
    expect(sessions[1]?.arrivalMs).toBe(35);
  });

  test('of one turn are made of rows without a session, named by line', () => {
    const sessions = traceSessions(parseTrace(golden('mini.jsonl')));
    expect(sessions[1]).toMatchObject({ id: 'request_2', arrivalMs: 85 });
  });

  test('take differences of timestamps where no delay is given', () => {
    const row = (timestamp: number) =>
      JSON.stringify({ session_id: 'a', timestamp, input_length: 1, output_length: 1, hash_ids: [1] });
    const [session] = traceSessions(parseTrace([row(100), row(350)]));
    expect(session?.turns.map((turn) => turn.delayMs)).toEqual([0, 250]);
  });
});

describe('other formats', () => {
  test('Azure CSV gives UTC milliseconds to the seventh digit', () => {
    const trace = parseTrace(
      'TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n',
    );
    expect(trace.format).toBe('azure');
    expect(trace.rows[0]).toEqual({
      line: 2,
      timestampMs: expect.closeTo(1700158546680.59, 2),
      inputLength: 374,
      outputLength: 44,
    });
    expect(trace.rows[1]!.timestampMs! - trace.rows[0]!.timestampMs!).toBeCloseTo(4314.579, 2);
    expect(failure('TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1')).toContain(
      'line 2: TIMESTAMP "yesterday" is not a time',
    );
  });

  test('BurstGPT v1 and v1.2 are read by column name, in seconds, failures left out', () => {
    const v1 = parseTrace(
      'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,10,0,10,API log\n118,GPT-4,417,276,693,API log',
    );
    expect(v1.format).toBe('burstgpt');
    expect(v1.rows).toEqual([
      { line: 2, timestampMs: 5000, inputLength: 472, outputLength: 18 },
      { line: 4, timestampMs: 118000, inputLength: 417, outputLength: 276 },
    ]);
    const v12 = parseTrace(
      'Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,77,1.5,GPT-4,472,18,490,"a, b"\n6,,2,ChatGPT,1,2,3,x',
      { model: 'GPT-4' },
    );
    expect(v12.rows).toEqual([
      { line: 2, timestampMs: 5000, inputLength: 472, outputLength: 18, sessionId: '77' },
    ]);
  });

  test('weka rows are of 64-token blocks, their fractional times seconds', () => {
    const lines = Array.from({ length: 30 }, (_, i) =>
      JSON.stringify({ t: i * 0.25, in: 65, out: 3, hash_ids: [0, i + 1] }),
    );
    const trace = parseTrace(lines);
    expect(trace).toMatchObject({ format: 'weka', blockSize: 64 });
    expect(trace.rows[2]).toEqual({
      line: 3,
      timestampMs: 500,
      inputLength: 65,
      outputLength: 3,
      hashIds: [0, 3],
    });
  });

  test('vLLM custom rows carry their prompt', () => {
    expect(parseTrace('{"prompt":"hi","output_tokens":9}\n{"prompt":"ho"}').rows).toEqual([
      { line: 1, timestampMs: 0, inputLength: 0, outputLength: 9, prompt: 'hi' },
      { line: 2, timestampMs: 0, inputLength: 0, outputLength: 256, prompt: 'ho' },
    ]);
    expect(detectFormat('{"prompt":"hi"}')).toBe('vllm-custom');
  });
});

describe('the unit of times', () => {
  const spread = (count: number, span: number): number[] =>
    Array.from({ length: count }, (_, i) => (i * span) / (count - 1));

  test('is the documented one unless only the other is plausible', () => {
    expect(timeUnit(spread(1000, 300_000), 'ms')).toBe('ms');
    expect(() => timeUnit(spread(1000, 300), 'ms')).toThrow(
      'the unit of its times is doubtful: 1000 rows over 300 make 3.33 requests/s in seconds, 3330 in milliseconds',
    );
  });

  test('is inferred from the rate where none is documented, and asked for when both would do', () => {
    expect(timeUnit(spread(1000, 100), undefined)).toBe('s');
    expect(timeUnit(spread(1000, 300_000), undefined)).toBe('ms');
    expect(() =>
      timeUnit(
        Array.from({ length: 1000 }, (_, i) => i * 20),
        undefined,
      ),
    ).toThrow('doubtful');
    expect(
      timeUnit(
        Array.from({ length: 1000 }, (_, i) => i * 20.5),
        undefined,
      ),
    ).toBe('s');
  });

  test('can be given', () => {
    const row = '{"timestamp":2,"input_length":1,"output_length":1,"hash_ids":[1]}';
    expect(parseTrace(row, { unit: 's' }).rows[0]?.timestampMs).toBe(2000);
  });
});
