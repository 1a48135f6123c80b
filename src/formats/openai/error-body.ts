import type { KvasirError } from '../../base/errors.ts';

/** The error object of the OpenAI API as vLLM fills it: `code` is the HTTP status. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: number;
  };
}

const TYPES: Readonly<Record<number, string>> = {
  400: 'BadRequestError',
  401: 'AuthenticationError',
  404: 'NotFoundError',
  405: 'MethodNotAllowedError',
  413: 'RequestEntityTooLargeError',
  415: 'UnsupportedMediaTypeError',
  429: 'RateLimitError',
  499: 'ClientClosedRequestError',
  500: 'InternalServerError',
  501: 'NotImplementedError',
  502: 'BadGatewayError',
  503: 'ServiceUnavailableError',
  504: 'GatewayTimeoutError',
  529: 'OverloadedError',
};

/** What a client is told: message and hint; `param` comes from the fact of that name. */
export function errorBody(error: KvasirError, status: number = error.status): ErrorBody {
  const { param } = error.facts;
  const message = error.hint === '' ? error.message : `${sentence(error.message)} ${error.hint}`;
  return {
    error: {
      message,
      type: errorType(status),
      param: param === undefined ? null : String(param),
      code: status,
    },
  };
}

export function errorType(status: number): string {
  return TYPES[status] ?? (status < 500 ? 'BadRequestError' : 'InternalServerError');
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
