import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { fail, KvasirError, toError } from '../base/errors.ts';
import { errorBody } from '../formats/openai/error-body.ts';

/** A registered route, its path split at the slashes. */
export interface RoutePattern {
  readonly method: string;
  readonly parts: readonly string[];
}

/** The methods that a path answers to; none if no route matches it. */
export function allowedMethods(routes: readonly RoutePattern[], path: string): string[] {
  const parts = (path.length > 1 ? path.replace(/\/$/, '') : path).split('/');
  const matches = routes.filter(
    (route) =>
      route.parts.length === parts.length &&
      route.parts.every((part, i) => part === parts[i] || (part.startsWith(':') && parts[i] !== '')),
  );
  return [...new Set(matches.map((route) => route.method))].sort();
}

/** Anything thrown while a request is handled, as an error of ours; what the client did wrong stays a 4xx. */
export function toRequestError(
  thrown: unknown,
  request: { readonly maxBodyBytes?: number; readonly contentType?: string | undefined } = {},
): KvasirError {
  if (thrown instanceof KvasirError) return thrown;
  const { code, statusCode } = thrown as { code?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return fail('KV_BODY_TOO_LARGE', { limit: request.maxBodyBytes }, thrown);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return fail('KV_MEDIA_TYPE', { type: request.contentType ?? '(none)' }, thrown);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return fail('KV_REQUEST_INVALID', { reason: toError(thrown).message, mend: '' }, thrown);
  return toError(thrown);
}

/** Answers bytes that are no HTTP request, before any route is known. */
export function refuseMalformedHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  if (socket.writable) {
    const reason = `malformed HTTP request: ${error.message}`;
    const body = JSON.stringify(errorBody(fail('KV_REQUEST_INVALID', { reason, mend: '' }), status));
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}
