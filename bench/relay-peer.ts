/** The processes of the relay bench: an engine that streams, the relays under test, and a client that reads. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { SILENT_LOG } from '../src/base/log.ts';
import { resolveSettings } from '../src/base/settings.ts';
import { startFrontend } from '../src/commands/start-frontend.ts';
import { answerChunks } from '../src/formats/openai/answer.ts';
import { SSE_DONE, sseFrame } from '../src/formats/sse/frame.ts';
import { FRONTEND_SETTINGS } from '../src/frontend/settings.ts';
import { routerConfig } from '../src/kv/config.ts';
import { bareInstance } from '../src/transport/discovery.ts';
import { MemoryDiscovery } from '../src/transport/discovery-memory.ts';

const TICK_MS = 10;
const END = '\n\n';
const PATH = '/v1/chat/completions';

interface Question {
  readonly kind: 'start' | 'cpu' | 'open' | 'count';
  readonly url: string;
  readonly streams: number;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Streams `max_tokens` chunks to everyone who asks, one to each at every tick. */
async function startEngine(): Promise<object> {
  const head = { id: 'chatcmpl-6f1c7f0e-bench', created: 1_757_500_000, model: 'm' };
  const chunks = answerChunks('chat', head);
  const chunk = sseFrame(chunks.text(0, ' token'));
  const live = new Map<ServerResponse, number>();
  setInterval(() => {
    for (const [response, left] of live) {
      if (left > 0) {
        response.write(chunk);
        live.set(response, left - 1);
      } else {
        live.delete(response);
        response.end(SSE_DONE);
      }
    }
  }, TICK_MS);
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (data) => {
      text += data;
    });
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      live.set(response, Number(JSON.parse(text).max_tokens));
      response.on('close', () => live.delete(response));
    });
  });
  return { url: await listen(server) };
}

/** What undici and a socket cost alone: each read goes out as one HTTP chunk, and nothing is looked at. */
async function bareRelay(engineUrl: string): Promise<object> {
  const pool = new Pool(engineUrl);
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const handler: Dispatcher.DispatchHandler = {
        onRequestStart: (controller) => response.on('close', () => controller.abort(new Error('left'))),
        onResponseStart: () => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.flushHeaders();
        },
        onResponseData: (_controller, bytes) => {
          const size = `${bytes.length.toString(16)}\r\n`;
          const framed = Buffer.allocUnsafe(size.length + bytes.length + 2);
          framed.write(size, 'latin1');
          framed.set(bytes, size.length);
          framed.write('\r\n', size.length + bytes.length, 'latin1');
          response.socket?.write(framed);
        },
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      };
      const headers = { 'content-type': 'application/json' };
      pool.dispatch({ path: PATH, method: 'POST', headers, body: Buffer.concat(pieces) }, handler);
    });
  });
  return { url: await listen(server) };
}

async function fullRelay(engineUrl: string): Promise<object> {
  const discovery = new MemoryDiscovery();
  discovery.put({ ...bareInstance('1', engineUrl), models: ['m'], blockSize: 64 });
  const settings = resolveSettings(FRONTEND_SETTINGS, { flags: { httpPort: 0 }, env: {} });
  const router = () => routerConfig();
  const running = await startFrontend({ settings, router, discovery, log: SILENT_LOG, env: {} });
  await Promise.all(running.frontend.directory.pools().map((pool) => pool.loading));
  return { url: running.url };
}

/** Holds streams open and counts the chunks that come. */
class Client {
  #chunks = 0;

  /** Resolves when every stream has begun to deliver. */
  async open({ url, streams }: Question): Promise<object> {
    const pool = new Pool(url);
    const messages = [{ role: 'user', content: 'Tell me something' }];
    const body = JSON.stringify({ model: 'm', messages, max_tokens: 1e6, stream: true });
    await Promise.all(Array.from({ length: streams }, () => this.#stream(pool, body)));
    return {};
  }

  count(): object {
    return { chunks: this.#chunks };
  }

  #stream(pool: Pool, body: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const handler: Dispatcher.DispatchHandler = {
        onRequestStart: () => {},
        onResponseStart: (_controller, status) => {
          if (status !== 200) reject(new Error(`status ${status} instead of a stream`));
        },
        onResponseData: (_controller, bytes) => {
          for (let at = bytes.indexOf(END); at >= 0; at = bytes.indexOf(END, at + 1)) this.#chunks++;
          resolve();
        },
        onResponseEnd: () => {},
        onResponseError: (_controller, error) => reject(error),
      };
      const headers = { 'content-type': 'application/json' };
      pool.dispatch({ path: PATH, method: 'POST', headers, body }, handler);
    });
  }
}

function cpuUs(): object {
  const { user, system } = process.cpuUsage();
  return { cpuUs: user + system };
}

const START: Readonly<Record<string, (engineUrl: string) => Promise<object>>> = {
  engine: startEngine,
  bare: bareRelay,
  full: fullRelay,
};
const role = process.argv[2] ?? '';
const client = new Client();
process.on('message', async (question: Question) => {
  if (question.kind === 'cpu') process.send?.(cpuUs());
  else if (question.kind === 'open') process.send?.(await client.open(question));
  else if (question.kind === 'count') process.send?.(client.count());
  else process.send?.(await START[role]?.(question.url));
});
