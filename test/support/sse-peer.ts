import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PeerRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
  /** Milliseconds on `performance.now()`. */
  readonly arrivedMs: number;
}

export interface SsePeer {
  readonly url: string;
  /** All requests so far, in order of arrival. */
  readonly requests: readonly PeerRequest[];
  /** Highest number of requests that were open at once. */
  readonly peakOpen: number;
  stop(): Promise<void>;
}

/** A real HTTP server on loopback whose answers are written by the test. */
export async function startSsePeer(
  answer: (request: PeerRequest, response: ServerResponse, index: number) => Promise<void> | void,
): Promise<SsePeer> {
  const requests: PeerRequest[] = [];
  const state = { open: 0, peak: 0 };
  const server = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const text = Buffer.concat(parts).toString('utf8');
      const request: PeerRequest = {
        path: incoming.url ?? '',
        headers: incoming.headers,
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
        arrivedMs: performance.now(),
      };
      requests.push(request);
      state.peak = Math.max(state.peak, ++state.open);
      response.on('close', () => state.open--);
      void answer(request, response, requests.length - 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get peakOpen() {
      return state.peak;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes events of an OpenAI stream: each is a JSON value or a raw text. */
export function sendEvents(response: ServerResponse, ...events: readonly unknown[]): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events) {
    response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
  }
}

export interface StreamShape {
  readonly ttftMs?: number;
  readonly gapMs?: number;
  /** Tokens of each chunk. */
  readonly chunks: readonly number[];
  readonly promptTokens?: number;
  readonly cachedTokens?: number;
  readonly chat?: boolean;
}

/** Streams a completion with given timing: text of one character a token, then usage, then `[DONE]`. */
export async function streamAnswer(response: ServerResponse, shape: StreamShape): Promise<void> {
  const { ttftMs = 0, gapMs = 0, chunks, chat = false } = shape;
  const choice = (text: string, finish: string | null) => ({
    choices: [{ index: 0, ...(chat ? { delta: { content: text } } : { text }), finish_reason: finish }],
  });
  if (chat) sendEvents(response, { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });
  if (ttftMs > 0) await wait(ttftMs);
  for (const [i, tokens] of chunks.entries()) {
    if (i > 0 && gapMs > 0) await wait(gapMs);
    sendEvents(response, choice('x'.repeat(tokens), i === chunks.length - 1 ? 'length' : null));
  }
  const completion = chunks.reduce((sum, tokens) => sum + tokens, 0);
  sendEvents(
    response,
    {
      choices: [],
      usage: {
        prompt_tokens: shape.promptTokens ?? 0,
        completion_tokens: completion,
        total_tokens: (shape.promptTokens ?? 0) + completion,
        prompt_tokens_details: { cached_tokens: shape.cachedTokens ?? 0 },
      },
    },
    '[DONE]',
  );
  response.end();
}
