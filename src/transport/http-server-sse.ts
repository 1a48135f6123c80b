import type { FastifyReply } from 'fastify';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
};
const CRLF = Buffer.from('\r\n');

/**
 * One server-sent stream over a hijacked reply. It writes HTTP chunks to the socket itself, which costs half
 * of what `res.write` does (2026, 220-byte chunks); that is legal only while the response owns the socket and
 * has nothing buffered, so all of it lives in here.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #direct: boolean;
  #ended = false;
  #left = false;
  #onLeave: (() => void) | undefined;

  /** Sends the status and headers at once. */
  constructor(reply: FastifyReply, headers: Readonly<Record<string, string>> = {}) {
    this.#reply = reply;
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { ...HEADERS, ...headers });
    raw.flushHeaders();
    this.#direct = raw.socket !== null && raw.chunkedEncoding && raw.writableLength === 0;
    raw.once('close', () => {
      if (this.#ended) return;
      this.#left = true;
      this.#onLeave?.();
    });
  }

  /** Whether the client hung up before the end; writing then does nothing. */
  get left(): boolean {
    return this.#left;
  }

  /** Calls back when the client hangs up before the end; at once if it has already. One listener. */
  onLeave(listener: () => void): void {
    this.#onLeave = listener;
    if (this.#left) listener();
  }

  /** Sends bytes; false means the client reads too slowly: wait for {@link drained} before more. */
  write(bytes: string | Uint8Array): boolean {
    if (this.#left || this.#ended) return true;
    if (bytes.length === 0) return true;
    const { raw } = this.#reply;
    if (!this.#direct || raw.socket === null) return raw.write(bytes);
    return raw.socket.write(httpChunk(bytes));
  }

  /** Calls back once when the client has read what was written, or has left. */
  onDrain(listener: () => void): void {
    const { raw } = this.#reply;
    const source = this.#direct && raw.socket !== null ? raw.socket : raw;
    const once = (): void => {
      source.off('drain', once);
      raw.off('close', once);
      listener();
    };
    if (this.#left || !source.writableNeedDrain) {
      listener();
      return;
    }
    source.on('drain', once);
    raw.on('close', once);
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.onDrain(resolve));
  }

  /** Ends the stream in good order. */
  end(): void {
    if (this.#ended || this.#left) return;
    this.#ended = true;
    this.#reply.raw.end();
  }

  /** Cuts the connection, so that the client sees a broken answer and no end. */
  abort(): void {
    this.#ended = true;
    this.#reply.raw.destroy();
  }
}

/** One chunk of chunked transfer coding in one buffer: a single write to the socket. */
function httpChunk(bytes: string | Uint8Array): Buffer {
  if (typeof bytes === 'string') {
    const size = Buffer.byteLength(bytes);
    return Buffer.from(`${size.toString(16)}\r\n${bytes}\r\n`);
  }
  const head = `${bytes.length.toString(16)}\r\n`;
  const chunk = Buffer.allocUnsafe(head.length + bytes.length + 2);
  chunk.write(head, 0, 'latin1');
  chunk.set(bytes, head.length);
  chunk.set(CRLF, head.length + bytes.length);
  return chunk;
}
