import { fail, toError } from '../../base/errors.ts';

export function isNotFound(thrown: unknown): boolean {
  return statusOf(thrown) === 404;
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

function statusOf(thrown: unknown): number | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** KV_KUBERNETES with what the API server said. */
export function failure(action: string, thrown: unknown, mend: string): Error {
  return fail('KV_KUBERNETES', { action, reason: reasonOf(thrown), mend }, thrown);
}

/** What the API server says in its Status object, which a watch hands over bare; else the plain error. */
export function reasonOf(thrown: unknown): string {
  const { body, kind } = (thrown ?? {}) as { readonly body?: unknown; readonly kind?: unknown };
  const status = statusOf(thrown);
  const said = messageIn(kind === 'Status' ? thrown : body);
  if (said !== undefined) return `${said}${status === undefined ? '' : ` (${status})`}`;
  if (status !== undefined) return `HTTP ${status}`;
  if (nameOf(thrown) === 'AbortError') return 'the API server did not answer in time';
  return toError(thrown).message;
}

function messageIn(body: unknown): string | undefined {
  try {
    return ((typeof body === 'string' ? JSON.parse(body) : body) as { message?: string } | undefined)
      ?.message;
  } catch {
    // Not an answer of the API server itself, a proxy's page for instance.
    return undefined;
  }
}
