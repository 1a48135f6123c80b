import { appendFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { makeFolder } from './folder.ts';

const FLUSH_MS = 1000;
const FLUSH_BYTES = 64 * 1024;
/** What may wait for a slow disk; lines beyond it are dropped and counted. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

export interface RotatingLinesOptions {
  readonly path: string;
  /** The file is moved to `path.1`, over the one before, once it is so large: both together hold twice as much. */
  readonly maxBytes: number;
  readonly log: Log;
}

/** A file of lines of bounded size, written behind its callers' backs about once a second. */
export class RotatingLines {
  readonly #options: RotatingLinesOptions;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #size: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #dropped = 0;
  #failing = false;

  constructor(options: RotatingLinesOptions) {
    this.#options = options;
  }

  /** Lines lost because the disk was too slow or refused them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes a line without its line feed; never waits, never throws. */
  write(line: string): void {
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += Buffer.byteLength(line) + 1;
    if (this.#waitingBytes >= FLUSH_BYTES) void this.#flush();
    else this.#timer ??= setTimeout(() => void this.#flush(), FLUSH_MS).unref();
  }

  /** Writes what waits. */
  async stop(): Promise<void> {
    await this.#flush();
    await this.#flush();
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing === undefined && this.#waiting.length > 0)
      this.#writing = this.#append().finally(() => {
        this.#writing = undefined;
      });
    return this.#writing ?? Promise.resolve();
  }

  async #append(): Promise<void> {
    const lines = this.#waiting;
    const bytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const { path, maxBytes, log } = this.#options;
    try {
      this.#size ??= await sizeOf(path);
      if (this.#size > 0 && this.#size + bytes > maxBytes) {
        await rename(path, `${path}.1`);
        this.#size = 0;
      }
      await appendFile(path, `${lines.join('\n')}\n`);
      this.#size += bytes;
      this.#failing = false;
    } catch (thrown) {
      this.#dropped += lines.length;
      this.#size = undefined;
      if (!this.#failing)
        log.error({ path, reason: toError(thrown).message }, 'lines cannot be written: dropped');
      this.#failing = true;
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  makeFolder(dirname(path));
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
