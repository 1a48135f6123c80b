import { findings } from './findings.ts';
import type { RankedPair } from './ranking.ts';
import { recommendationLines } from './recommendation.ts';
import { type SlaProfile, slaMet } from './result.ts';
import { name } from './summary.ts';
import { validationLine, validationRows } from './validation.ts';

const MOST_PAIRS = 8;
/** Columns that read better flush left. */
const LEFT = new Set(['prefill', 'decode x in flight', 'verdict']);

/** The result for people at a terminal: the verdict, the recommendation, and the best pairs, best first. */
export function resultTable(profile: SlaProfile, pairs: readonly RankedPair[]): readonly string[] {
  const { target, prefillMapping, decodeMapping } = profile;
  const head = [
    'prefill',
    'decode x in flight',
    'SLA',
    'TTFT ms',
    'ITL ms',
    'tok/s/GPU',
    '$/M tok',
    'verdict',
  ];
  const rows = pairs
    .slice(0, MOST_PAIRS)
    .map((pair) => [
      name(pair.prefill.mapping),
      `${name(pair.decode.mapping)} x ${pair.decode.concurrency}`,
      pair.meetsSla ? 'yes' : 'no',
      pair.prefill.latencyMs.toFixed(1),
      pair.decode.latencyMs.toFixed(2),
      pair.tokensPerSPerGpu.toFixed(0),
      pair.costPerMillionTokens.toFixed(3),
      pair.verdict,
    ]);
  const more = pairs.length > MOST_PAIRS ? [`… and ${pairs.length - MOST_PAIRS} more in report.html`] : [];
  return [
    '',
    `TTFT <= ${target.ttftMs} ms and ITL <= ${target.itlMs} ms at ISL ${target.islTokens}, OSL ${target.oslTokens}: ${slaMet(profile) ? 'met' : 'NOT met, the closest point was taken'}`,
    ...recommendationLines(profile.recommendation, {
      style: 'mapping',
      prefill: prefillMapping.kind,
      decode: decodeMapping.kind,
    }).map((line) => `  ${line}`),
    ...findings(profile).map((line) => `  ${line}`),
    '',
    ...columns(head, rows),
    ...more,
    ...validationLines(profile),
    ...lostLines(profile),
  ];
}

/** Cells in columns, numbers flush right, with a rule below the head. */
export function columns(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (LEFT.has(head[at]!) ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)];
}

function validationLines({ validation }: SlaProfile): string[] {
  if (validation === undefined) return [];
  const { head, rows } = validationRows(validation);
  return ['', `${validationLine(validation)}:`, '', ...columns(head, rows)];
}

function lostLines({ lost }: SlaProfile): string[] {
  if (lost.length === 0) return [];
  return [
    '',
    'Not measured:',
    ...lost.map(({ role, mapping, reason }) => `  ${role} ${name(mapping)}: ${reason}`),
  ];
}
