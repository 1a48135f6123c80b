import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fail, toError } from '../../base/errors.ts';
import { makeFolder } from '../../transport/folder.ts';

/** Texts of a megabyte leave the collector more to do than the writes they save: a third of all CPU (measured). */
const FLUSH_UNITS = 1 << 16;

/** A text file written piece by piece beside its place (its folder is made), and put there by {@link finish}; {@link abandon} removes it. */
export class StreamedFile {
  readonly path: string;
  readonly #beside: string;
  #descriptor: number | undefined;
  // Encoded into one buffer again and again: a new one per flush waits long for the garbage collector.
  #encoded = Buffer.allocUnsafe(0);
  #pieces: string[] = [];
  #units = 0;

  constructor(path: string) {
    this.path = path;
    this.#beside = `${path}.${process.pid}.tmp`;
    makeFolder(dirname(path));
    this.#descriptor = this.#writing(() => openSync(this.#beside, 'w'));
  }

  get isOpen(): boolean {
    return this.#descriptor !== undefined;
  }

  write(text: string | Uint8Array): void {
    if (typeof text !== 'string') {
      this.#flush();
      this.#put(text);
      return;
    }
    this.#pieces.push(text);
    this.#units += text.length;
    if (this.#units >= FLUSH_UNITS) this.#flush();
  }

  finish(): void {
    this.#flush();
    closeSync(this.#descriptor!);
    this.#descriptor = undefined;
    this.#writing(() => renameSync(this.#beside, this.path));
  }

  abandon(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    rmSync(this.#beside, { force: true });
  }

  #flush(): void {
    const text = this.#pieces.join('');
    if (this.#encoded.length < text.length * 3) this.#encoded = Buffer.allocUnsafe(text.length * 3);
    this.#put(this.#encoded.subarray(0, this.#encoded.write(text, 'utf8')));
    this.#pieces = [];
    this.#units = 0;
  }

  #put(bytes: Uint8Array): void {
    this.#writing(() => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor!, bytes, at);
    });
  }

  /** A full disk or a folder that is none is the user's to mend. */
  #writing<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw fail('KV_FILE_UNWRITABLE', { path: this.path, reason: toError(cause).message }, cause);
    }
  }
}
