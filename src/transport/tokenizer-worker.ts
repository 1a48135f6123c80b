/** Entry of a tokenizer's thread: makes the tokenizer from the files it is given, then encodes what is asked. */
import { parentPort, workerData } from 'node:worker_threads';
import { toError } from '../base/errors.ts';
import { LibraryTokenizer, type TokenizerFiles } from '../tokenizer/library-tokenizer.ts';

export interface EncodeJob {
  readonly id: number;
  readonly text: string;
  /** A rendered chat, which has its special tokens; else a plain prompt, which gets them. */
  readonly rendered: boolean;
}

export type EncodeAnswer =
  | { readonly id: number; readonly ids: Uint32Array<ArrayBuffer> }
  | { readonly id: number; readonly reason: string };

const tokenizer = new LibraryTokenizer(workerData as TokenizerFiles);

parentPort?.on('message', ({ id, text, rendered }: EncodeJob) => {
  try {
    const ids = Uint32Array.from(rendered ? tokenizer.encodeRendered(text) : tokenizer.encode(text));
    parentPort?.postMessage({ id, ids } satisfies EncodeAnswer, [ids.buffer]);
  } catch (thrown) {
    parentPort?.postMessage({ id, reason: toError(thrown).message } satisfies EncodeAnswer);
  }
});
