import type { FastifyReply } from 'fastify';

/** Whether the client of a request still waits for the answer. */
export class ClientPresence {
  readonly #raw: FastifyReply['raw'];
  readonly #leave = new AbortController();

  constructor(reply: FastifyReply) {
    this.#raw = reply.raw;
    this.#raw.once('close', () => {
      if (!this.#raw.writableFinished) this.#leave.abort();
    });
  }

  get left(): boolean {
    return this.#leave.signal.aborted;
  }

  /** Aborts when the client leaves. */
  get signal(): AbortSignal {
    return this.#leave.signal;
  }

  /** Calls back once if the client leaves; at once if it has. Returns how to stop listening. */
  onLeave(listener: () => void): () => void {
    const { signal } = this.#leave;
    if (signal.aborted) listener();
    else signal.addEventListener('abort', listener, { once: true });
    return () => signal.removeEventListener('abort', listener);
  }
}
