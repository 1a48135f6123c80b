import { createReadStream } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fail, KvasirError, toError } from '../base/errors.ts';
import { type TraceOptions, TraceParser } from '../formats/traces/parse-trace.ts';
import type { Trace } from '../formats/traces/trace.ts';

/** Reads a trace file line by line; `-` is stdin. gzip is known by its first bytes, whatever the name. */
export async function readTraceFile(path: string, options: TraceOptions = {}): Promise<Trace> {
  const source = path === '-' ? 'stdin' : path;
  const parser = new TraceParser({ source, ...options });
  try {
    await pushLines(path === '-' ? process.stdin : createReadStream(path), (line) => parser.push(line));
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    throw fail('KV_FILE_UNREADABLE', { path: source, reason: toError(cause).message }, cause);
  }
  return parser.finish();
}

async function pushLines(input: Readable, push: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of await unzipped(input)) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) push(line);
  }
  push(rest + decoder.decode());
}

/** The stream itself, or its decompression when it begins with the gzip magic. */
async function unzipped(input: Readable): Promise<AsyncIterable<unknown> | Iterable<unknown>> {
  const chunks = input[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) return [];
  const head = Buffer.from(first.value as Uint8Array);
  const whole = replay(head, chunks);
  if (!(head[0] === 0x1f && head[1] === 0x8b)) return whole;
  // Errors of either end come out of the iteration of the last stream.
  return pipeline(Readable.from(whole), createGunzip(), () => {});
}

async function* replay(head: Buffer, rest: AsyncIterator<unknown>): AsyncGenerator<unknown> {
  yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
