import { fail, toError } from '../../base/errors.ts';

export function isNotFound(thrown: unknown): boolean {
  return statusOf(thrown) === 404;
}

export function isConflict(thrown: unknown): boolean {
  return statusOf(thrown) === 409;
}

function statusOf(thrown: unknown): number | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** KV_KUBERNETES with what the API server said. */
export function failure(action: string, thrown: unknown, mend: string): Error {
  return fail('KV_KUBERNETES', { action, reason: reasonOf(thrown), mend }, thrown);
}

/** What the API server says in its Status object, else the plain error. */
function reasonOf(thrown: unknown): string {
  const { body } = (thrown ?? {}) as { body?: unknown };
  const status = statusOf(thrown);
  try {
    const parsed = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: string } | undefined;
    if (parsed?.message !== undefined)
      return `${parsed.message}${status === undefined ? '' : ` (${status})`}`;
  } catch {
    // Not an answer of the API server itself, a proxy's page for instance.
  }
  return status === undefined ? toError(thrown).message : `HTTP ${status}`;
}
