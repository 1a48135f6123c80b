import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readAgentHints } from '../../formats/openai/agent-annotations.ts';
import { interarrivalLevel, outputLevel } from './thompson-levels.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/thompson/processor.json', import.meta.url), 'utf8'),
);

test.each(Object.entries(golden.category_osl as Record<string, string>))(
  'an output of "%s" is %s',
  (hint, level) => expect(outputLevel(hint === 'None' ? undefined : hint)).toBe(level),
);

test.each(Object.entries(golden.category_iat as Record<string, string>))(
  'a wait of "%s" is %s',
  (hint, level) => expect(interarrivalLevel(hint)).toBe(level),
);

test.each(golden.hints as { annotations: unknown; out: [string, number, string, string] }[])(
  'annotations $annotations mean $out',
  ({ annotations, out: [prefix, total, osl, iat] }) => {
    const hints = readAgentHints(annotations);
    expect(hints.prefixId).toBe(prefix.startsWith('auto-') ? undefined : prefix);
    expect([hints.totalRequests ?? 1, outputLevel(hints.osl), interarrivalLevel(hints.iat)]).toEqual([
      total,
      osl,
      iat,
    ]);
  },
);
