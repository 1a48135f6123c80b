import { Worker } from 'node:worker_threads';
import { fail } from '../base/errors.ts';
import type { TokenizerFiles } from '../tokenizer/library-tokenizer.ts';
import type { EncodeAnswer, EncodeJob } from './tokenizer-worker.ts';

interface Waiting {
  resolve(ids: Uint32Array): void;
  reject(error: Error): void;
}

/**
 * A tokenizer in a thread of its own, for prompts so long that encoding them would hold up everything else. The
 * thread starts with the first of them, and keeps the process alive only while somebody waits.
 */
export class TokenizerThread {
  readonly #files: TokenizerFiles;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 0;

  constructor(files: TokenizerFiles) {
    this.#files = files;
  }

  encode(text: string, rendered: boolean): Promise<Uint32Array> {
    this.#worker ??= this.#start();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker?.ref();
      this.#worker?.postMessage({ id, text, rendered } satisfies EncodeJob);
    });
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate();
    this.#lost(new Error('it was stopped'));
  }

  #start(): Worker {
    const worker = startThread(this.#files);
    worker.on('message', (answer: EncodeAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (this.#waiting.size === 0) worker.unref();
      if ('ids' in answer) waiting?.resolve(answer.ids);
      else waiting?.reject(fail('KV_TOKENIZER_UNUSABLE', { reason: answer.reason }));
    });
    worker.on('error', (cause) => this.#lost(cause));
    worker.on('exit', () => this.#lost(new Error('its thread ended')));
    return worker;
  }

  /** What waited fails; the next prompt starts a new thread. */
  #lost(cause: Error): void {
    this.#worker = undefined;
    const error = fail('KV_TOKENIZER_UNUSABLE', { reason: cause.message }, cause);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

/** Compiled code is run as it is; TypeScript sources, in development, are loaded through tsx. */
function startThread(workerData: TokenizerFiles): Worker {
  const self = import.meta.url;
  if (self.endsWith('.js')) return new Worker(new URL('./tokenizer-worker.js', self), { workerData });
  const entry = new URL('./tokenizer-worker.ts', self).href;
  const loader = import.meta.resolve('tsx/esm/api');
  const source = `import(${JSON.stringify(loader)}).then(({ tsImport }) => tsImport(${JSON.stringify(entry)}, ${JSON.stringify(self)}))`;
  return new Worker(source, { eval: true, workerData });
}
