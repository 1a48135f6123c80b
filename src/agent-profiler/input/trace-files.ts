import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fail, toError } from '../../base/errors.ts';
import type { Trace } from './event.ts';
import { type ReadRequest, type TraceFault, TraceReader } from './trace-reader.ts';

/** A trace with what else its file tells of it. */
export type SourcedTrace = Trace & ReadRequest;

export interface TraceFileOptions {
  /** Called for each thing that was skipped; throw in it to make faults fatal. */
  readonly onFault: (fault: TraceFault & { readonly path: string }) => void;
  /** Read when a path is `-`. */
  readonly stdin?: Readable;
  /** Told of every piece read, in bytes of the file as it is stored. */
  readonly onRead?: (bytes: number) => void;
}

const TRACE_NAME = /\.(json|jsonl|ndjson)(\.gz)?$/i;
const LINES_NAME = /\.(jsonl|ndjson)(\.gz)?$/i;
const NEWLINE = 10;

/**
 * The traces of files, folders (their *.json, *.jsonl, *.ndjson, also gzipped, by name) and `-` for standard
 * input, numbered through in order. Streams: one request is in memory at a time.
 */
export async function* readTraceFiles(
  paths: readonly string[],
  options: TraceFileOptions,
): AsyncGenerator<SourcedTrace> {
  let index = 0;
  for (const path of paths.flatMap(expand)) {
    const reader = new TraceReader((fault) => options.onFault({ ...fault, path }));
    for await (const ready of feed(path, reader, options))
      for (const request of ready) yield { index: index++, ...request };
  }
}

/** Bytes of the files that would be read, as they are stored; what cannot be told counts nothing. */
export function storedBytes(paths: readonly string[]): number {
  return paths
    .flatMap(expand)
    .reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** The trace files of a folder in order of name, or the file itself. */
function expand(path: string): readonly string[] {
  if (path === '-') return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => TRACE_NAME.test(name));
    if (names.length > 0) return names.sort().map((name) => join(path, name));
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  throw fail('KV_FILE_MALFORMED', {
    path,
    reason: 'the folder holds no trace file',
    mend: 'Name a file, or a folder with *.json or *.jsonl files.',
  });
}

async function* feed(
  path: string,
  reader: TraceReader,
  options: TraceFileOptions,
): AsyncGenerator<ReturnType<TraceReader['take']>> {
  let lines: LineFeed | undefined;
  let first = true;
  try {
    for await (const chunk of bytes(path, options)) {
      if (first) {
        first = false;
        if (LINES_NAME.test(path) || looksLikeLines(chunk)) lines = new LineFeed(reader);
      }
      if (lines === undefined) reader.push(chunk);
      else lines.push(chunk);
      yield reader.take();
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && !('facts' in cause))
      throw fail('KV_FILE_UNREADABLE', { path, reason: cause.message }, cause);
    throw cause;
  }
  lines?.end();
  reader.end();
  yield reader.take();
}

async function* bytes(path: string, options: TraceFileOptions): AsyncGenerator<Uint8Array> {
  const raw: Readable =
    path === '-' ? (options.stdin ?? process.stdin) : createReadStream(path, { highWaterMark: 1 << 18 });
  const iterator = raw[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const first = await iterator.next();
  if (first.done === true) return;
  options.onRead?.(first.value.length);
  const rest = (async function* (): AsyncGenerator<Buffer> {
    yield first.value;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      options.onRead?.(next.value.length);
      yield next.value;
    }
  })();
  const gzipped = first.value[0] === 0x1f && first.value[1] === 0x8b;
  if (!gzipped) return yield* rest;
  const { Readable: ReadableStream } = await import('node:stream');
  const gunzip = createGunzip({ chunkSize: 1 << 18 });
  const source = ReadableStream.from(rest);
  source.on('error', (error) => gunzip.destroy(error));
  yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
}

/** Whether the first line is a whole JSON value and more follows: then each line stands for itself. */
function looksLikeLines(chunk: Uint8Array): boolean {
  const end = chunk.indexOf(NEWLINE);
  if (end <= 0) return false;
  const line = Buffer.from(chunk.subarray(0, end))
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trim();
  if (!line.startsWith('{') && !line.startsWith('[')) return false;
  if (Buffer.from(chunk.subarray(end)).toString('utf8').trim() === '') return false;
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** Parts bytes into lines. */
class LineFeed {
  readonly #reader: TraceReader;
  #rest: Uint8Array[] = [];
  #line = 0;

  constructor(reader: TraceReader) {
    this.#reader = reader;
  }

  push(chunk: Uint8Array): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#take(chunk.subarray(from, end));
      from = end + 1;
    }
    if (from < chunk.length) this.#rest.push(chunk.slice(from));
  }

  end(): void {
    if (this.#rest.length > 0) this.#take(new Uint8Array());
  }

  #take(piece: Uint8Array): void {
    this.#line++;
    const text = Buffer.concat([...this.#rest, piece])
      .toString('utf8')
      .replace(/^\uFEFF/, '')
      .trim();
    this.#rest = [];
    if (text !== '') this.#reader.line(text, this.#line);
  }
}
