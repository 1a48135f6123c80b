import { type KvasirError, toError } from '../base/errors.ts';

export const ENDPOINTS = [
  'completions',
  'chat_completions',
  'embeddings',
  'classify',
  'pooling',
  'images',
  'videos',
  'audios',
  'responses',
  'anthropic_messages',
  'tensor',
  'generate',
] as const;
export type EndpointName = (typeof ENDPOINTS)[number];
export type RequestType = 'unary' | 'stream';

/** Value of the label `error_type` of a failed request. */
export type ErrorType =
  | 'validation'
  | 'not_found'
  | 'overload'
  | 'unavailable'
  | 'cancelled'
  | 'response_timeout'
  | 'internal'
  | 'not_implemented';

/** The error type of an answer with this HTTP status; `overloadStatus` is the one configured for overload. */
export function errorTypeOfStatus(status: number, message = '', overloadStatus = 529): ErrorType {
  if (status === overloadStatus) return 'overload';
  switch (status) {
    case 400:
      return message.startsWith('Validation:') ? 'validation' : 'internal';
    case 404:
      return 'not_found';
    case 429:
    case 529:
      return 'overload';
    case 499:
      return 'cancelled';
    case 501:
      return 'not_implemented';
    case 503:
      return 'unavailable';
    default:
      return status >= 400 && status < 500 ? 'validation' : 'internal';
  }
}

/** The error type of anything thrown. */
export function errorTypeOf(thrown: unknown, overloadStatus = 529): ErrorType {
  const error: KvasirError = toError(thrown);
  if (error.code === 'KV_OVERLOADED') return 'overload';
  return errorTypeOfStatus(error.status, error.message, overloadStatus);
}
