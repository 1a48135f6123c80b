import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import { LibraryTokenizer } from '../tokenizer/library-tokenizer.ts';
import { readTokenizerFiles } from '../transport/tokenizer-files.ts';
import type { PromptPlan } from './plan.ts';
import { PromptWriter, tokenizerLexicon } from './prompt-words.ts';
import { requestBody } from './request-body.ts';
import { theoreticalKve } from './theoretical-kve.ts';
import { tracePlan } from './trace-plan.ts';

const tiny = sharedFile('data/tokenizers/tinyllama-v1.1.tokenizer.json.gz');
const blocks = (ids: readonly number[]): PromptPlan => ({ kind: 'blocks', ids, blockSize: 16 });

describe('prompts', () => {
  const writer = new PromptWriter({ seed: 1, ids: { first: 1000, size: 500 } });
  const ids = (prompt: PromptPlan, length: number): number[] => JSON.parse(`[${writer.ids(prompt, length)}]`);

  test('as ids have the exact length, within the range, equal where ids are equal', () => {
    const a = ids(blocks([7, 8]), 30);
    const b = ids(blocks([7, 9]), 32);
    expect([a.length, b.length]).toEqual([30, 32]);
    expect(a.slice(0, 16)).toEqual(b.slice(0, 16));
    expect(a.slice(16)).not.toEqual(b.slice(16, 30));
    for (const id of [...a, ...b]) expect(id >= 1000 && id < 1500).toBe(true);
    expect(new Set(a).size).toBeGreaterThan(20);
    expect(
      ids(
        {
          kind: 'parts',
          parts: [
            { id: 7, length: 16 },
            { id: 5, length: 3 },
          ],
        },
        19,
      ).slice(0, 16),
    ).toEqual(a.slice(0, 16));
    expect(ids(blocks([7]), 0)).toEqual([]);
  });

  test('as texts are one byte a token without a tokenizer', () => {
    const text = writer.text(blocks([7, 8]), 30).toString();
    expect(new ByteTokenizer().encode(text)).toHaveLength(30);
    expect(JSON.parse(`"${text}"`)).toBe(text);
    expect(
      writer
        .text(blocks([7, 9]), 32)
        .toString()
        .slice(0, 16),
    ).toBe(text.slice(0, 16));
  });

  test('make a JSON body of any form', () => {
    const request = {
      id: 'r',
      index: 0,
      phase: 'measure',
      prompt: blocks([1]),
      inputLength: 5,
      outputLength: 3,
    } as const;
    const body = (form: 'token-ids' | 'text' | 'chat', prompt: PromptPlan = request.prompt) =>
      JSON.parse(
        requestBody({ ...request, prompt, priority: 2 }, writer, {
          model: 'a"b',
          form,
          ignoreEos: true,
          continuousUsage: true,
          extra: { top_k: 1 },
        }).toString(),
      );
    expect(body('token-ids')).toEqual({
      model: 'a"b',
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      max_tokens: 3,
      temperature: 0,
      ignore_eos: true,
      priority: 2,
      top_k: 1,
      prompt: ids(blocks([1]), 5),
    });
    expect(body('text').prompt).toHaveLength(5);
    expect(body('chat').messages[0].content).toBe(body('text').prompt);
    expect(body('chat', { kind: 'text', text: 'say "grün"\n' }).messages[0].content).toBe('say "grün"\n');
    expect(body('token-ids', { kind: 'text', text: 'x' }).prompt).toBe('x');
  });

  test.skipIf(tiny === undefined)(
    'as texts for a real tokenizer keep count and sharing to the token',
    async () => {
      const tokenizer = new LibraryTokenizer(await readTokenizerFiles(tiny!));
      const lexicon = tokenizerLexicon(tokenizer);
      expect(lexicon.words.length).toBeGreaterThan(1000);
      const words = new PromptWriter({ seed: 1, lexicon });
      // The model puts one token of its own before every prompt.
      const lead = tokenizer.encode('a').length - 1;
      for (const [list, length] of [
        [[1], 1],
        [[1, 2], 20],
        [[1, 2, 3, 4, 5, 6], 96],
      ] as const) {
        expect(tokenizer.encode(words.text(blocks(list), length).toString())).toHaveLength(length + lead);
      }
      const a = tokenizer.encode(words.text(blocks([1, 2, 3]), 48).toString());
      const b = tokenizer.encode(words.text(blocks([1, 2, 4]), 48).toString());
      expect(a.slice(0, 32 + lead)).toEqual(b.slice(0, 32 + lead));
      expect(a.slice(32 + lead)).not.toEqual(b.slice(32 + lead));
    },
  );

  test('refuse a tokenizer that has no words', () => {
    expect(() => tokenizerLexicon(new ByteTokenizer())).toThrow('too few words of one token each (0)');
  });
});

describe('plans of traces', () => {
  const rows = (list: readonly object[], format?: 'mooncake-delta') =>
    parseTrace(
      list.map((row) => JSON.stringify({ timestamp: 0, output_length: 4, ...row })),
      { blockSize: 16, format },
    );

  test('of delta rows repeat the turns before them, answers included', () => {
    const trace = rows(
      [
        { session_id: 'a', input_length: 20, hash_ids: [1, 2] },
        { session_id: 'a', input_length: 10, hash_ids: [3], delay: 5 },
        { session_id: 'b', input_length: 16, hash_ids: [1] },
      ],
      'mooncake-delta',
    );
    const [a, b] = tracePlan(trace).sessions;
    expect(a?.turns.map(({ request }) => request.inputLength)).toEqual([20, 34]);
    const writer = new PromptWriter({ seed: 1 });
    const text = (turn: number): string => {
      const { prompt, inputLength } = a!.turns[turn]!.request;
      return writer.text(prompt, inputLength).toString();
    };
    expect(text(1).startsWith(text(0))).toBe(true);
    expect(text(1)).toHaveLength(34);
    expect(b?.turns[0]?.request.inputLength).toBe(16);
  });

  test('share nothing where the trace has no prefix data', () => {
    const azure = parseTrace(
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,40,0\n2023-11-16 18:15:47,40,3',
    );
    const plan = tracePlan(azure);
    const [first, second] = plan.sessions.map((session) => session.turns[0]!.request);
    expect(first?.outputLength).toBe(1);
    const writer = new PromptWriter({ seed: 1 });
    expect(writer.text(first!.prompt, 40)).not.toEqual(writer.text(second!.prompt, 40));
    expect(theoreticalKve(plan)).toBe(0);
  });

  test('mark what is due early as warm-up, and take the first rows only', () => {
    const trace = rows(
      [0, 500, 1000, 3000].map((timestamp, id) => ({ timestamp, input_length: 16, hash_ids: [id] })),
    );
    const plan = tracePlan(trace, { warmupMs: 300, speedup: 2, limit: 3 });
    expect(plan.sessions.map((session) => session.turns[0]!.request.phase)).toEqual([
      'warmup',
      'warmup',
      'measure',
    ]);
  });

  test('know the share that an infinite cache would hold', () => {
    const trace = rows([
      { input_length: 32, hash_ids: [1, 2] },
      { input_length: 24, hash_ids: [1, 3] },
      { input_length: 32, hash_ids: [1, 3] },
      { input_length: 16, hash_ids: [9] },
    ]);
    // 16 of the second row, 16 + 8 of the third.
    expect(theoreticalKve(tracePlan(trace))).toBeCloseTo(40 / 104, 12);
  });
});
