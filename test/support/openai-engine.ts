import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerBody, answerChunks } from '../../src/formats/openai/answer.ts';
import { embeddingBody } from '../../src/formats/openai/embeddings.ts';
import { modelList } from '../../src/formats/openai/model-card.ts';
import { responseBody, responseChunks } from '../../src/formats/openai/response-answer.ts';
import type { ResponsesRequest } from '../../src/formats/openai/responses-request.ts';
import { SSE_DONE, sseFrame } from '../../src/formats/sse/frame.ts';

/** How the engine treats a request: told by the field `behave` of the body, or by its `behave` property. */
export type Behaviour =
  | 'answer'
  | 'die at once'
  | 'die in stream'
  | 'error in stream'
  | 'error at once in stream'
  | 'wrong in stream'
  | 'end without done'
  | 'end before finish'
  | 'linger after done'
  | 'die after done'
  | 'refuse 400'
  | 'refuse 503'
  | 'plain 500'
  | 'never answer'
  | 'never end';

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly body: Record<string, unknown>;
  readonly atMs: number;
}

const MAX_TOKENS = 5;

/** A small OpenAI-shaped engine that answers `w0 w1 w2 ...`, and misbehaves when asked to. */
export class OpenAiEngine {
  readonly #server: Server;
  readonly seen: SeenRequest[] = [];
  behave: Behaviour = 'answer';
  /** How the next requests are treated instead, one after the other; engines may share it. */
  next: Behaviour[] = [];
  /** Reported in usage; undefined leaves the field out. */
  cachedTokens: number | undefined = 16;
  /** What the next streamed answer ends with after so many tokens, in place of the rest. */
  lastWords: { readonly data: string; readonly afterTokens: number } | undefined;
  /** What the next answer that is not streamed is. */
  refusal: { readonly status: number; readonly body: string } | undefined;
  /** Of `/health`. */
  healthStatus = 200;
  /** Given in the answer to a request that another engine shall go on with. */
  handoff: object | undefined;
  /** Knows `return_token_ids`. */
  listsTokens = false;
  /** As engines do that cannot keep up; 1 unless said. */
  tokensPerChunk = 1;
  /** Between tokens. */
  delayMs = 0;
  /** Takes connections and answers nothing, as a stopped process does. */
  hangs = false;
  /** Requests that are being answered. */
  active = 0;
  url = '';

  constructor() {
    this.#server = createServer((request, response) => this.#receive(request, response));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      if (this.hangs) return;
      if (request.url === '/health') return void response.writeHead(this.healthStatus).end();
      // What is asked of a response that it keeps.
      if (request.url?.startsWith('/v1/responses/'))
        return void response.end(JSON.stringify({ at: this.url, method: request.method, path: request.url }));
      if (request.method === 'GET') {
        const card = {
          id: 'm',
          ownedBy: 'test',
          contextLength: undefined,
          parent: undefined,
          engine: undefined,
        };
        return void response.end(JSON.stringify(modelList([{ ...card, created: 1 }])));
      }
      const text = Buffer.concat(pieces).toString();
      const seen = {
        path: request.url ?? '',
        headers: request.headers,
        text,
        body: JSON.parse(text),
        atMs: performance.now(),
      };
      this.seen.push(seen);
      this.active++;
      response.on('close', () => this.active--);
      void this.#answer(seen, response);
    });
  }

  async #answer({ path, body }: SeenRequest, response: ServerResponse): Promise<void> {
    const behave = (body.behave as Behaviour | undefined) ?? this.next.shift() ?? this.behave;
    const kind = path.includes('chat') ? 'chat' : 'completion';
    const asked = path.endsWith('/responses') ? (body as ResponsesRequest) : undefined;
    const id = asked ? `resp_${randomUUID()}` : kind === 'chat' ? 'chatcmpl-1' : 'cmpl-1';
    const head = { id, created: 1, model: String(body.model) };
    const tokens = Number(body.max_tokens ?? MAX_TOKENS);
    const usage = {
      promptTokens: 40,
      completionTokens: tokens,
      ...(this.cachedTokens !== undefined && { cachedTokens: this.cachedTokens }),
    };
    const refuse = (status: number, error: object | string): void => {
      response.writeHead(status, {
        'content-type': typeof error === 'string' ? 'text/plain' : 'application/json',
      });
      response.end(typeof error === 'string' ? error : JSON.stringify({ error }));
    };
    if (behave === 'never answer') return;
    if (behave === 'die at once') return void response.socket?.destroy();
    if (behave === 'refuse 400')
      return refuse(400, { message: 'bad "seed"', type: 'BadRequestError', param: 'seed', code: 400 });
    if (behave === 'refuse 503')
      return refuse(503, {
        message: 'engine is dead',
        type: 'ServiceUnavailableError',
        param: null,
        code: 503,
      });
    if (behave === 'plain 500') return refuse(500, 'Internal Server Error');
    const { refusal, lastWords } = this;
    this.refusal = this.lastWords = undefined;
    if (refusal !== undefined && body.stream !== true) {
      response.writeHead(refusal.status, { 'content-type': 'application/json' });
      return void response.end(refusal.body);
    }
    if (body.stream !== true) {
      await this.#pause(tokens);
      const text = Array.from({ length: tokens }, (_, i) => `w${i} `).join('');
      response.writeHead(200, { 'content-type': 'application/json' });
      const extra = this.handoff === undefined ? {} : { kv_transfer_params: this.handoff };
      const choice = { text, finishReason: 'length' } as const;
      const whole = asked
        ? responseBody(head, asked, choice, usage)
        : path.endsWith('/embeddings')
          ? embeddingBody(head.model, [Float32Array.of(0.6, 0.8)], 'float', usage.promptTokens)
          : answerBody(kind, head, [choice], usage, extra);
      response.end(JSON.stringify(whole));
      return;
    }
    const chunks = asked ? responseChunks(head, asked) : answerChunks(kind, head);
    const framed = asked ? (frames: string) => frames : sseFrame;
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    if (behave === 'error at once in stream') {
      response.end(sseFrame('{"error": {"message": "out of luck", "code": 500}}') + SSE_DONE);
      return;
    }
    const opening = chunks.opening(0);
    if (lastWords?.afterTokens === 0) return void response.end(sseFrame(lastWords.data) + SSE_DONE);
    const prompt = this.listsTokens && body.return_token_ids === true ? '[7,8,9]' : 'null';
    if (opening !== '')
      response.write(framed(opening.replace('"prompt_token_ids":null', `"prompt_token_ids":${prompt}`)));
    const options = body.stream_options as
      | { include_usage?: boolean; continuous_usage_stats?: boolean }
      | undefined;
    const per = this.tokensPerChunk;
    for (let i = 0; i < tokens; i += per) {
      if (lastWords?.afterTokens === i) return void response.end(sseFrame(lastWords.data) + SSE_DONE);
      if (behave === 'die in stream' && i === 2) {
        await new Promise((resolve) => response.write(':\n\n', resolve));
        return void response.socket?.destroy();
      }
      if ((behave === 'error in stream' || behave === 'wrong in stream') && i === 2) {
        const code = behave === 'error in stream' ? 500 : 400;
        response.end(sseFrame(`{"error": {"message": "out of luck", "code": ${code}}}`) + SSE_DONE);
        return;
      }
      if (behave === 'never end' && i === 2) return;
      if (behave === 'end before finish' && i === 2) return void response.end();
      const end = Math.min(tokens, i + per);
      const text = Array.from({ length: end - i }, (_, k) => `w${i + k} `).join('');
      const soFar = options?.continuous_usage_stats ? { ...usage, completionTokens: end } : undefined;
      const chunk = end === tokens ? chunks.finish(0, text, 'length', soFar) : chunks.text(0, text, soFar);
      const ids = JSON.stringify(Array.from({ length: end - i }, (_, k) => 1000 + i + k));
      const listed = this.listsTokens && body.return_token_ids === true;
      response.write(framed(listed ? chunk.replace('"token_ids":null', `"token_ids":${ids}`) : chunk));
      await this.#pause(end - i);
      if (response.destroyed) return;
    }
    if (options?.include_usage === true || asked) response.write(framed(chunks.usage(usage)));
    if (asked) return void response.end();
    if (behave === 'end without done') return void response.end();
    await new Promise((resolve) => response.write(SSE_DONE, resolve));
    if (behave === 'die after done') response.socket?.destroy();
    else if (behave !== 'linger after done') response.end();
  }

  async #pause(tokens: number): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, tokens * this.delayMs));
  }
}
