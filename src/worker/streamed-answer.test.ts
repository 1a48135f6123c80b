import { describe, expect, test } from 'vitest';
import { fail } from '../base/errors.ts';
import { answerChunks } from '../formats/openai/answer.ts';
import { type FrameStream, StreamedAnswer } from './streamed-answer.ts';

/** A client that reads only when told to. */
class SlowClient implements FrameStream {
  readonly frames: string[] = [];
  ended = false;
  reading = true;
  #drained: () => void = () => {};

  write(frame: string): boolean {
    this.frames.push(frame);
    return this.reading;
  }

  onDrain(listener: () => void): void {
    this.#drained = listener;
  }

  read(): void {
    this.reading = true;
    this.#drained();
  }

  end(): void {
    this.ended = true;
  }

  /** The texts of all chunks so far, by choice. */
  texts(): string[] {
    return this.frames
      .filter((frame) => frame.includes('"text"'))
      .map((frame) => JSON.parse(frame.slice('data: '.length)).choices[0])
      .map(({ index, text }) => `${index}:${text}`);
  }
}

function answerTo(client: SlowClient, choices: number) {
  const sent: number[] = [];
  const over: unknown[] = [];
  const streamed = new StreamedAnswer({
    chunks: answerChunks('completion', { id: 'cmpl-1', created: 0, model: 'm' }),
    prefixes: Array.from({ length: choices }, () => ({ text: '', ids: [] })),
    callOf: () => undefined,
    logprobsOf: () => undefined,
    includeUsage: false,
    continuousUsage: false,
    open: () => client,
    promptTokensOf: () => 1,
    usage: () => ({ promptTokens: 1, completionTokens: 1 }),
    sending: (bytes) => sent.push(bytes),
    over: (error) => over.push(error),
  });
  return { streamed, sent, over };
}

describe('an answer to a client that reads too slowly', () => {
  test('gathers what is said meanwhile into one chunk per choice, and loses nothing', () => {
    const client = new SlowClient();
    const { streamed, sent, over } = answerTo(client, 2);
    streamed.text(0, 'a', 1, []);
    client.reading = false;
    streamed.text(0, 'b', 2, []);
    for (const [tokens, text] of [...'cdefg'].entries()) {
      streamed.text(0, text, tokens + 3, []);
      streamed.text(1, text.toUpperCase(), tokens + 1, []);
    }
    expect(client.texts()).toEqual(['0:a', '0:b']);
    client.read();
    expect(client.texts()).toEqual(['0:a', '0:b', '0:cdefg', '1:CDEFG']);
    client.reading = false;
    streamed.text(0, 'h', 8, []);
    streamed.text(0, 'i', 9, []);
    streamed.end(0, 'j', { reason: 'length', stop: undefined, tokens: 10, ids: [] });
    streamed.end(1, 'H', { reason: 'stop', stop: 'I', tokens: 7, ids: [] });
    streamed.done();
    expect(client.texts().slice(4)).toEqual(['0:h', '0:ij', '1:H']);
    expect(client.frames.at(-1)).toBe('data: [DONE]\n\n');
    expect([client.ended, over]).toEqual([true, [undefined]]);
    expect(sent).toEqual(client.frames.map((frame) => frame.length));
  });

  test('that fails is told so as the next event, or before the first as an error', () => {
    const client = new SlowClient();
    const error = fail('KV_ENGINE_STOPPING', { reason: 'gone' });
    const begun = answerTo(client, 1);
    begun.streamed.text(0, 'a', 1, []);
    begun.streamed.failed(error);
    expect(JSON.parse(client.frames[1]!.slice(6))).toMatchObject({ error: { code: 503 } });
    expect([client.ended, begun.over]).toEqual([true, [undefined]]);
    const untouched = new SlowClient();
    const early = answerTo(untouched, 1);
    early.streamed.failed(error);
    expect([untouched.frames, early.over]).toEqual([[], [error]]);
  });
});
