import { BIG_JSON } from '../../base/big-json.ts';

const ID_FIELDS = ['backend_instance_id', 'decode_worker_id', 'prefill_worker_id'] as const;

/**
 * The body with the worker ids of its `nvext` as the client wrote them: a u64 given as a bare number exceeds what
 * JSON.parse keeps, so it is read again from the bytes, as text. Bodies without such ids come back as they are.
 */
export function wholeInstanceIds(body: unknown, raw: Buffer | undefined): unknown {
  const nvext = (body as { nvext?: unknown } | null)?.nvext;
  if (typeof nvext !== 'object' || nvext === null || raw === undefined) return body;
  const rounded = ID_FIELDS.filter((field) => isRounded((nvext as Record<string, unknown>)[field]));
  if (rounded.length === 0) return body;
  const { nvext: ids } = BIG_JSON.parse(raw.toString('utf8')) as { nvext: Record<string, unknown> };
  const whole = Object.fromEntries(rounded.map((field) => [field, String(ids[field])]));
  return { ...(body as object), nvext: { ...nvext, ...whole } };
}

function isRounded(id: unknown): boolean {
  return typeof id === 'number' && Number.isInteger(id) && !Number.isSafeInteger(id);
}
