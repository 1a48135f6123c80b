import { fail, toError } from '../../base/errors.ts';

/** The object is not there; a path that the server does not serve, a kind it does not know, is another thing. */
export function isNotFound(thrown: unknown): boolean {
  return statusOf(thrown) === 404 && saidBy(thrown)?.reason === 'NotFound';
}

/** The server does not know the kind of object in this version of the API. */
export function isUnserved(thrown: unknown): boolean {
  return statusOf(thrown) === 404 && !isNotFound(thrown);
}

/** Not allowed, or over a quota. */
export function isRefusal(thrown: unknown): boolean {
  const status = statusOf(thrown);
  return status === 401 || status === 403;
}

export function isConflict(thrown: unknown): boolean {
  return statusOf(thrown) === 409;
}

/** The server did not get or answer the call, or says that it cannot just now: the same call may succeed later. */
export function isPassing(thrown: unknown): boolean {
  const status = statusOf(thrown);
  if (status !== undefined) return status === 429 || status >= 500;
  return ['FetchError', 'AbortError'].includes(nameOf(thrown));
}

function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : '';
}

export function statusOf(thrown: unknown): number | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** KV_KUBERNETES with what the API server said. */
export function failure(action: string, thrown: unknown, mend: string): Error {
  return fail('KV_KUBERNETES', { action, reason: reasonOf(thrown), mend }, thrown);
}

/** What the API server says in its Status object, which a watch hands over bare; else the plain error. */
export function reasonOf(thrown: unknown): string {
  const status = statusOf(thrown);
  const said = saidBy(thrown)?.message;
  if (said !== undefined) return `${said}${status === undefined ? '' : ` (${status})`}`;
  if (status === 401) return 'the API server does not accept these credentials (401)';
  if (status !== undefined) return `HTTP ${status}`;
  if (nameOf(thrown) === 'AbortError') return 'the API server did not answer in time';
  // The client quotes a header that it cannot send.
  return toError(thrown).message.replace(/Bearer \S+/g, 'Bearer …');
}

function saidBy(thrown: unknown): { readonly message?: string; readonly reason?: string } | undefined {
  const { body, kind } = (thrown ?? {}) as { readonly body?: unknown; readonly kind?: unknown };
  const said = kind === 'Status' ? thrown : body;
  try {
    const status: unknown = typeof said === 'string' ? JSON.parse(said) : said;
    return typeof status === 'object' && status !== null ? status : undefined;
  } catch {
    // Not an answer of the API server itself, a proxy's page for instance.
    return undefined;
  }
}
