import { escapeText, type Svg } from '../plot/svg.ts';
import { findings } from './findings.ts';
import type { Latency } from './latency.ts';
import type { RankedPair } from './ranking.ts';
import { recommendationLines } from './recommendation.ts';
import { type SlaProfile, slaMet } from './result.ts';
import { kvUsage } from './selection.ts';
import { name } from './summary.ts';
import { validationLine, validationRows } from './validation.ts';

const MOST_PAIRS = 12;
const STYLE = `
body { font: 15px/1.5 Inter, system-ui, sans-serif; color: #1f2430; max-width: 1080px; margin: 32px auto; padding: 0 20px; }
h1 { font-size: 26px; } h2 { font-size: 19px; margin-top: 36px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid #e7eaf0; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
.verdict { padding: 12px 16px; border-radius: 8px; } .met { background: #e7f6ec; } .missed { background: #fdecea; }
.muted { color: #667085; } figure { margin: 24px 0; } svg { max-width: 100%; height: auto; } tr.best { font-weight: 600; }`;

/** One HTML page with everything of a profile; needs no network and no other file. */
export function profileReport(
  profile: SlaProfile,
  pairs: readonly RankedPair[],
  charts: Readonly<Record<string, Svg>>,
  targetName: string,
): string {
  const { target, recommendation } = profile;
  const met = slaMet(profile);
  const lines = recommendationLines(recommendation, {
    style: 'mapping',
    prefill: profile.prefillMapping.kind,
    decode: profile.decodeMapping.kind,
  });
  const verdict = met
    ? 'Both targets can be met.'
    : 'The targets cannot be met; the closest point was taken.';
  const shown = new Set<Svg>();
  const pictures = Object.values(charts).filter((svg) => !shown.has(svg) && shown.add(svg));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>SLA profile</title><style>${STYLE}</style></head><body>
<h1>SLA profile</h1>
<p class="muted">ISL ${target.islTokens}, OSL ${target.oslTokens}, TTFT ≤ ${target.ttftMs} ms, ITL ≤ ${target.itlMs} ms; ${escapeText(profile.backend)}, target ${escapeText(targetName)}${targetName === 'sim' ? ' (simulated)' : ''}</p>
<p class="verdict ${met ? 'met' : 'missed'}"><b>${verdict}</b><br>${lines.map(escapeText).join('<br>')}</p>
<h2>Ranked pairs</h2>
${pairTable(pairs)}
<p class="muted">A pair is a mix of prefill and decode engines that are kept equally busy by the target's lengths.</p>
${validationSection(profile)}
<h2>Prefill sweep</h2>
${table(
  ['mapping', 'TTFT ms, mean ± 95 %', 'p50', 'p90', 'p99', 'probes / requests', 'tokens/s/GPU'],
  profile.prefill.map(({ mapping, point, tokensPerSPerGpu }) => ({
    cells: [name(mapping), ...latencyCells(point.ttft), thousands(tokensPerSPerGpu)],
    best: mapping === profile.prefillMapping,
  })),
)}
<h2>Decode sweep</h2>
${table(
  [
    'mapping × in flight',
    'ITL ms, mean ± 95 %',
    'p50',
    'p90',
    'p99',
    'probes / requests',
    'KV use',
    'tokens/s/GPU',
  ],
  profile.decode.map((candidate) => ({
    cells: [
      `${name(candidate.mapping)} × ${candidate.concurrency}`,
      ...latencyCells(candidate.point.itl),
      `${(100 * kvUsage(candidate.concurrency, target.islTokens, target.oslTokens, candidate.maxKvTokens)).toFixed(0)} %`,
      thousands(candidate.tokensPerSPerGpu),
    ],
    best: candidate === recommendation.decode.chosen,
  })),
)}
${lostSection(profile)}
<h2>Effort</h2>
<p>${[effort(profile), ...findings(profile).map((line) => `${escapeText(line)}.`)].join('<br>')}</p>
<h2>Charts</h2>
${pictures.map((svg) => `<figure>${svg}</figure>`).join('\n')}
</body></html>
`;
}

function pairTable(pairs: readonly RankedPair[]): string {
  const rows = pairs.slice(0, MOST_PAIRS).map((pair, rank) => ({
    cells: [
      `${name(pair.prefill.mapping)} + ${name(pair.decode.mapping)} × ${pair.decode.concurrency}`,
      pair.meetsSla ? 'yes' : 'no',
      pair.prefill.latencyMs.toFixed(1),
      pair.decode.latencyMs.toFixed(2),
      thousands(pair.tokensPerSPerGpu),
      `$${pair.costPerMillionTokens.toFixed(3)}`,
      pair.verdict,
    ],
    best: rank === 0,
  }));
  return table(
    ['prefill + decode', 'meets SLA', 'TTFT ms', 'ITL ms', 'tokens/s/GPU', '$/M tokens', 'verdict'],
    rows,
  );
}

function table(
  head: readonly string[],
  rows: readonly { readonly cells: readonly string[]; readonly best: boolean }[],
): string {
  const body = rows.map(
    ({ cells, best }) =>
      `<tr${best ? ' class="best"' : ''}>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}</tr>`,
  );
  return `<table><tr>${head.map((cell) => `<th>${escapeText(cell)}</th>`).join('')}</tr>${body.join('')}</table>`;
}

function latencyCells({ meanMs, halfWidthMs, p50Ms, p90Ms, p99Ms, probes, samples }: Latency): string[] {
  const spread = halfWidthMs === null ? '' : ` ± ${halfWidthMs.toFixed(2)}`;
  return [
    `${meanMs.toFixed(2)}${spread}`,
    ...[p50Ms, p90Ms, p99Ms].map((value) => value.toFixed(2)),
    `${probes} / ${samples}`,
  ];
}

function validationSection({ validation }: SlaProfile): string {
  if (validation === undefined) return '';
  const { head, rows } = validationRows(validation);
  const good = validation.outcomes.map(({ ratePerS }) => ratePerS === validation.servedPerS);
  const cells = rows.map((row, at) => ({ cells: row, best: good[at] === true }));
  return `<h2>Goodput under load</h2>
<p>${escapeText(validationLine(validation))}.</p>
${table(head, cells)}
<p class="muted">Poisson arrivals; prompt and answer lengths drawn about the target's (log-normal, spread 30 %). The sweep measures one prompt at a time, so it knows nothing of queues: this table does. A request is good when its TTFT and its mean ITL are both within the targets.</p>`;
}

function lostSection({ lost }: SlaProfile): string {
  if (lost.length === 0) return '';
  const rows = lost.map(
    ({ role, mapping, reason }) =>
      `<tr><td>${role} ${name(mapping)}</td><td class="text">${escapeText(reason)}</td></tr>`,
  );
  return `<h2>Not measured</h2><table><tr><th>engine</th><th class="text">reason</th></tr>${rows.join('')}</table>`;
}

function effort({ counts }: SlaProfile): string {
  const { measured, reused, failed, probes } = counts;
  return `${measured} points measured with ${probes} probes, ${reused} taken from an earlier run, ${failed} failed.`;
}

function thousands(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}
