/** `warn` serves, but worse than it could; `fail` is wrong. */
type FindingStatus = 'ok' | 'warn' | 'fail';

/** One thing that was looked at. */
export interface Finding {
  readonly check: string;
  readonly status: FindingStatus;
  readonly message: string;
  /** What to do about it. */
  readonly mend?: string;
}

export function ok(check: string, message: string): Finding {
  return { check, status: 'ok', message };
}

export function warn(check: string, message: string, mend: string): Finding {
  return { check, status: 'warn', message, mend };
}

export function wrong(check: string, message: string, mend: string): Finding {
  return { check, status: 'fail', message, mend };
}

const MARKS = { ok: '✓', warn: '!', fail: '✗' } as const;

/** For people: a heading and a line for each finding, the mend below it. */
export function findingLines(title: string, findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, status, message, mend }) => [
    `  ${MARKS[status]} ${check.padEnd(width)}  ${message}`,
    ...(mend === undefined ? [] : [`    ${' '.repeat(width)}  → ${mend}`]),
  ]);
  return [title, ...lines];
}
