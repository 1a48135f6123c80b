import type { Family, Series } from './family.ts';
import { type Exemplar, Histogram } from './histogram.ts';
import { escapeHelp, escapeLabelValue } from './labels.ts';
import { openMetricsNumberText as numberText, openMetricsBoundText } from './number-text.ts';
import type { FamilyGroup } from './scrape.ts';

export const OPENMETRICS_END = '# EOF\n';

/** One family in OpenMetrics 1.0.0; a counter without `_total` is of unknown type there, to keep its name. */
export function familyOpenMetrics(group: FamilyGroup): string {
  let body = '';
  for (const { family, series } of group.members()) body += seriesText(group.name, family, series);
  if (body === '') return '';
  const suffixed = group.type === 'counter' && group.name.endsWith('_total');
  const name = suffixed ? group.name.slice(0, -'_total'.length) : group.name;
  const type = group.type === 'counter' && !suffixed ? 'unknown' : group.type;
  const help = escapeHelp(group.help).replaceAll('"', '\\"');
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${body}`;
}

function seriesText(name: string, family: Family, series: Series): string {
  series.lines.openMetrics ??= lineStarts(name, family, series);
  const starts = series.lines.openMetrics;
  const { child } = series;
  if (!(child instanceof Histogram)) return `${starts[0]}${numberText(child.value)}\n`;
  const { cells, exemplars } = child;
  const last = cells.length - 1;
  let text = '';
  let count = 0;
  for (let i = 0; i < last; i++) {
    count += cells[i]!;
    text += `${starts[i]}${count}${exemplarText(exemplars?.[i])}\n`;
  }
  return `${text}${starts[last]}${numberText(cells[last]!)}\n${starts[last + 1]}${count}\n`;
}

function exemplarText(exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) return '';
  const { traceId, value, timestampS } = exemplar;
  return ` # {trace_id="${escapeLabelValue(traceId)}"} ${numberText(value)} ${timestampS.toFixed(3)}`;
}

function lineStarts(name: string, family: Family, { child, labelText }: Series): string[] {
  const braced = labelText === '' ? '' : `{${labelText}}`;
  if (!(child instanceof Histogram)) return [`${name}${braced} `];
  const comma = labelText === '' ? '' : `${labelText},`;
  const bounds = [...family.bounds, Number.POSITIVE_INFINITY];
  const buckets = bounds.map((bound) => `${name}_bucket{${comma}le="${openMetricsBoundText(bound)}"} `);
  return [...buckets, `${name}_sum${braced} `, `${name}_count${braced} `];
}
