import { readFileSync } from 'node:fs';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerChunks } from '../openai/answer.ts';
import { SSE_DONE, sseFrame } from './frame.ts';
import { RelaySplitter } from './relay-splitter.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/engine/openai-sse.json', import.meta.url), 'utf8'),
);
const framed = (payloads: readonly string[]): string => payloads.map(sseFrame).join('');

/** Pushes the text cut at the given places; gives what left and the splitter. */
function relay(text: string, cuts: readonly number[] = [], stripUsage = false) {
  const splitter = new RelaySplitter({ stripUsage });
  const bytes = Buffer.from(text);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  const out: Buffer[] = [];
  for (let i = 1; i < places.length; i++) out.push(splitter.push(bytes.subarray(places[i - 1], places[i])));
  out.push(splitter.rest());
  return { out: Buffer.concat(out).toString(), splitter };
}

describe('the relay splitter', () => {
  test('follows a chat of vLLM and passes every byte', () => {
    const text = framed(golden.chat_stream_include_usage);
    const { out, splitter } = relay(text);
    expect(out).toBe(text);
    expect(splitter).toMatchObject({
      events: 5,
      tokens: 2,
      firstTokens: 1,
      done: true,
      error: undefined,
      usage: { promptTokens: 24, completionTokens: 2, cachedTokens: 16 },
    });
  });

  test('keeps the usage chunk from a client who did not ask for it, and nothing else', () => {
    for (const payloads of [golden.chat_stream_include_usage, golden.completions_stream_include_usage]) {
      const { out, splitter } = relay(framed(payloads), [], true);
      expect(out).toBe(framed(payloads.filter((payload: string) => !payload.includes('"choices":[]'))));
      expect(splitter.usage?.completionTokens).toBe(2);
      expect(splitter.tokens).toBe(2);
    }
  });

  test('notices an error in the stream and lets the client see it', () => {
    const text = framed(golden.error_mid_stream);
    const { out, splitter } = relay(text, [], true);
    expect(out).toBe(text);
    expect(splitter).toMatchObject({
      error: { message: 'Internal server error', fault: 'engine' },
      done: true,
      tokens: 0,
    });
  });

  test('counts tokens by continuous usage, by token ids, and else one per chunk with text', () => {
    const chunks = answerChunks('chat', { id: 'x', created: 1, model: 'm' });
    const usage = (completionTokens: number) => ({ promptTokens: 9, completionTokens });
    const continuous = [
      chunks.opening(0, usage(0)),
      chunks.text(0, 'ab', usage(3)),
      chunks.text(0, 'c', usage(4)),
    ];
    expect(relay(framed(continuous)).splitter).toMatchObject({ tokens: 4, firstTokens: 3 });
    const ids = chunks.text(0, 'ab').replace('"token_ids":null', '"token_ids":[1,2]');
    expect(relay(framed([ids, ids])).splitter).toMatchObject({ tokens: 4, firstTokens: 2 });
    const thought = '{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}';
    const call = '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}';
    expect(relay(framed([thought, thought, call, chunks.text(0, 'a')])).splitter.tokens).toBe(4);
  });

  test('takes usage that comes with the last piece of text, however alike the chunks are', () => {
    const piece = (text: string, end: string): string =>
      `{"id":"1","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}],"usage":${end}}`;
    const last = piece('c', '{"prompt_tokens":7,"completion_tokens":3}');
    const { splitter } = relay(framed([piece('a', 'null'), piece('b', 'null'), last]), [], true);
    expect(splitter).toMatchObject({ tokens: 3, usage: { promptTokens: 7, completionTokens: 3 } });
  });

  test('does not take an empty piece, or one of another choice, for an ordinary token', () => {
    const chunks = answerChunks('completion', { id: 'x', created: 1, model: 'm' });
    const events = [
      chunks.text(0, 'a'),
      chunks.text(0, ''),
      chunks.text(1, 'b'),
      chunks.finish(0, '', 'stop'),
    ];
    expect(relay(framed(events)).splitter.tokens).toBe(2);
  });

  test('passes comments, other fields, CRLF and unfinished ends untouched', () => {
    const text = ': hello\r\n\r\nevent: x\r\ndata: {"choices":[{"text":"a"}]}\r\n\r\ndata: [DO';
    const { out, splitter } = relay(text);
    expect(out).toBe(text);
    expect(splitter).toMatchObject({ events: 2, tokens: 1, done: false });
  });

  test('joins the answer of an engine that took over: no second opening, and usage of the whole', () => {
    const chunks = answerChunks('chat', { id: 'x', created: 1, model: 'm' });
    const usage = { promptTokens: 12, completionTokens: 2 };
    const events = [
      chunks.opening(0),
      chunks.text(0, 'a'),
      chunks.finish(0, '', 'stop'),
      chunks.usage(usage),
    ];
    const splitter = new RelaySplitter({
      stripUsage: false,
      keeps: true,
      continues: { promptTokens: undefined, tokens: 5 },
    });
    const out = splitter.push(Buffer.from(framed(events) + SSE_DONE)).toString();
    const joined = chunks.usage({ promptTokens: 7, completionTokens: 7 });
    expect(out).toBe(framed([events[1] ?? '', events[2] ?? '', joined]) + SSE_DONE);
    expect(splitter).toMatchObject({ usage, tokens: 1, begun: { text: 'a' } });
  });

  test('keeps usage on every chunk to itself, and counts by it the tokens that the text is made of', () => {
    const chunks = answerChunks('chat', { id: 'x', created: 1, model: 'm' });
    const usage = (completionTokens: number) => ({ promptTokens: 9, completionTokens });
    const events = [
      chunks.opening(0, usage(0)),
      chunks.text(0, 'a b c', usage(3)),
      // Half a letter is held back.
      chunks.text(0, '', usage(4)),
    ];
    const splitter = new RelaySplitter({ stripUsage: true, stripContinuous: true, keeps: true });
    const out = splitter.push(Buffer.from(framed(events))).toString();
    expect(out).toBe(framed([chunks.opening(0), chunks.text(0, 'a b c'), chunks.text(0, '')]));
    expect(splitter).toMatchObject({
      tokens: 4,
      usage: usage(4),
      begun: { text: 'a b c', tokens: 3, promptTokens: 9, ids: undefined },
    });
    const begun = { promptTokens: 9, tokens: 3 };
    const next = new RelaySplitter({ stripUsage: false, stripContinuous: true, continues: begun });
    // The text so far is two tokens of the second prompt.
    const end = chunks.usage({ promptTokens: 11, completionTokens: 4 });
    const rest = next.push(Buffer.from(framed([chunks.text(0, 'd', usage(1)), end]))).toString();
    expect(rest).toBe(framed([chunks.text(0, 'd'), chunks.usage(usage(7))]));
  });

  test('keeps the text when asked, and says when it is more than text', () => {
    const chunks = answerChunks('completion', { id: 'x', created: 1, model: 'm' });
    const splitter = new RelaySplitter({ stripUsage: true, keeps: true });
    splitter.push(Buffer.from(framed([chunks.text(0, 'né'), chunks.text(0, ' b')])));
    expect(splitter.begun?.text).toBe('né b');
    splitter.push(Buffer.from(framed(['{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}'])));
    expect(splitter.begun).toBeUndefined();
  });

  test('withholds what another engine could mend, and gives it up when none does', () => {
    const chunks = answerChunks('completion', { id: 'x', created: 1, model: 'm' });
    const death = '{"error": {"message": "EngineCore died", "type": "BadRequestError", "code": 400}}';
    const wrong = '{"error": {"message": "bad token", "type": "BadRequestError", "code": 400}}';
    const push = (keeps: boolean, ...events: string[]) => {
      const splitter = new RelaySplitter({ stripUsage: false, keeps });
      const out = splitter.push(Buffer.from(framed(events) + SSE_DONE)).toString();
      return { out, withholds: splitter.withholds, rest: splitter.rest().toString() };
    };
    const text = chunks.text(0, 'a');
    // Nothing left yet: also for answers that cannot be gone on with.
    expect(push(false, death)).toEqual({ out: '', withholds: true, rest: framed([death]) + SSE_DONE });
    expect(push(false, text, death)).toMatchObject({
      out: framed([text, death]) + SSE_DONE,
      withholds: false,
    });
    expect(push(true, text, death)).toMatchObject({ out: framed([text]), rest: framed([death]) + SSE_DONE });
    expect(push(true, wrong)).toMatchObject({ out: framed([wrong]) + SSE_DONE, withholds: false });
    const aborted = chunks.finish(0, 'b', 'abort');
    const cut = new RelaySplitter({ stripUsage: false, keeps: true });
    cut.push(Buffer.from(framed([text, aborted, chunks.usage({ promptTokens: 3, completionTokens: 2 })])));
    expect(cut).toMatchObject({ tokens: 1, withholds: true, begun: { text: 'a', tokens: 1 } });
  });

  test('gives back the very buffer when it holds whole events', () => {
    const splitter = new RelaySplitter({ stripUsage: true });
    const bytes = Buffer.from(framed(golden.chat_stream_include_usage.slice(0, 3)));
    expect(splitter.push(bytes)).toBe(bytes);
  });

  test('sees the same however the bytes are cut, as a full parser does', () => {
    const chunks = answerChunks('chat', { id: 'chatcmpl-é', created: 1, model: 'm' });
    const piece = fc.string({ unit: 'grapheme', maxLength: 12 });
    const cuts = fc.array(fc.nat(4000), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), cuts, fc.boolean(), (pieces, places, stripUsage) => {
        const usage = { promptTokens: 5, completionTokens: pieces.length };
        const events = [
          chunks.opening(0),
          ...pieces.map((text) => chunks.text(0, text)),
          chunks.usage(usage),
        ];
        const text = framed(events) + SSE_DONE;
        const { out, splitter } = relay(text, places, stripUsage);
        const seen: string[] = [];
        createParser({ onEvent: (event) => seen.push(event.data) }).feed(out);
        const kept = stripUsage ? events.slice(0, -1) : events;
        expect(seen).toEqual([...kept, '[DONE]']);
        expect(splitter.tokens).toBe(pieces.filter((text) => text !== '').length);
        expect(splitter.events).toBe(events.length + 1);
        expect(splitter.usage).toEqual(usage);
        expect(splitter.done).toBe(true);
      }),
    );
  });
});
