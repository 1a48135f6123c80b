import type { Family, Series } from './family.ts';
import { Histogram } from './histogram.ts';
import { escapeHelp } from './labels.ts';
import { boundText, numberText } from './number-text.ts';
import type { FamilyGroup } from './scrape.ts';

/** One family in text format 0.0.4; empty without series. */
export function familyText(group: FamilyGroup): string {
  let body = '';
  for (const { family, series } of group.members()) body += seriesText(group.name, family, series);
  if (body === '') return '';
  const help = group.help === '' ? '' : ` ${escapeHelp(group.help)}`;
  return `# HELP ${group.name}${help}\n# TYPE ${group.name} ${group.type}\n${body}`;
}

function seriesText(name: string, family: Family, series: Series): string {
  series.lines.text ??= lineStarts(name, family, series);
  const starts = series.lines.text;
  const { child } = series;
  if (!(child instanceof Histogram)) return `${starts[0]}${numberText(child.value)}\n`;
  const { cells } = child;
  const last = cells.length - 1;
  let text = '';
  let count = 0;
  for (let i = 0; i < last; i++) {
    count += cells[i]!;
    text += `${starts[i]}${count}\n`;
  }
  return `${text}${starts[last]}${numberText(cells[last]!)}\n${starts[last + 1]}${count}\n`;
}

/** What each line of a series begins with, up to its value: buckets, then sum and count. */
function lineStarts(name: string, family: Family, { child, labelText }: Series): string[] {
  const braced = labelText === '' ? '' : `{${labelText}}`;
  if (!(child instanceof Histogram)) return [`${name}${braced} `];
  const comma = labelText === '' ? '' : `${labelText},`;
  const bounds = [...family.bounds, Number.POSITIVE_INFINITY];
  const buckets = bounds.map((bound) => `${name}_bucket{${comma}le="${boundText(bound)}"} `);
  return [...buckets, `${name}_sum${braced} `, `${name}_count${braced} `];
}
