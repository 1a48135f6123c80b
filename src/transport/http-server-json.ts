import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { fail, toError } from '../base/errors.ts';

const MEND = 'Send a JSON object.';

export type JsonParser = (text: string) => unknown;

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
