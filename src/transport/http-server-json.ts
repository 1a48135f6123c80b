import { isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from 'node:zlib';
import type { FastifyRequest } from 'fastify';
import { fail, toError } from '../base/errors.ts';

const MEND = 'Send a JSON object.';

export type JsonParser = (text: string) => unknown;

const DECODERS: Readonly<Record<string, (bytes: Buffer, options: ZlibOptions) => Promise<Buffer>>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/** A body without its `Content-Encoding`; `limit` bounds it as it bounds plain ones. */
export async function decodedBody(
  encoding: string | undefined,
  bytes: Buffer,
  limit: number,
): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  if (name === 'identity') return bytes;
  const decode = DECODERS[name];
  if (decode === undefined) throw fail('KV_CONTENT_ENCODING', { encoding: name });
  try {
    return await decode(bytes, { maxOutputLength: limit });
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE')
      throw fail('KV_BODY_TOO_LARGE', { limit }, cause);
    const reason = `the body is not valid ${name}: ${toError(cause).message}`;
    throw fail('KV_REQUEST_INVALID', { reason, mend: MEND }, cause);
  }
}

/** Parses a JSON body strictly, and leaves its bytes on the request for those who forward it. */
export function parseJsonBody(request: FastifyRequest, bytes: Buffer, parse: JsonParser): unknown {
  request.rawBody = bytes;
  if (bytes.length === 0) throw fail('KV_REQUEST_INVALID', { reason: 'the body is empty', mend: MEND });
  if (!isUtf8(bytes))
    throw fail('KV_REQUEST_INVALID', {
      reason: `the body is not valid UTF-8 (first bad byte near position ${firstBadByte(bytes)})`,
      mend: 'Encode the JSON as UTF-8.',
    });
  try {
    return parse(bytes.toString('utf8'));
  } catch (cause) {
    throw fail(
      'KV_REQUEST_INVALID',
      { reason: `the body is not valid JSON: ${toError(cause).message}`, mend: MEND },
      cause,
    );
  }
}

/** Bytes before the first replacement character that decoding puts in. */
function firstBadByte(bytes: Buffer): number {
  const text = bytes.toString('utf8');
  return Buffer.byteLength(text.slice(0, text.indexOf('\ufffd')));
}
