/** What an agent says of its conversation in `nvext.annotations`, as written. */
export interface AnnotatedHints {
  readonly prefixId: string | undefined;
  /** At least 1. */
  readonly totalRequests: number | undefined;
  readonly osl: string | undefined;
  readonly iat: string | undefined;
  readonly functionPath: string | undefined;
  readonly callIndex: string | undefined;
}

/** Reads `key:value` annotations: the first of a key counts, its value is everything behind the first colon. */
export function readAgentHints(annotations: unknown): AnnotatedHints {
  const texts = Array.isArray(annotations) ? annotations.filter((each) => typeof each === 'string') : [];
  const textOf = (key: string): string | undefined => {
    const found = texts.find((text) => text.startsWith(`${key}:`))?.slice(key.length + 1);
    return found === '' ? undefined : found;
  };
  const total = textOf('total_requests')?.trim() ?? '';
  return {
    prefixId: textOf('prefix_id'),
    totalRequests: /^[+-]?\d+$/.test(total) ? Math.max(1, Number(total)) : undefined,
    osl: textOf('osl'),
    iat: textOf('iat'),
    functionPath: textOf('function_path'),
    callIndex: textOf('call_index'),
  };
}
