import type { ExpositionWriter } from './exposition-writer.ts';
import type { Series } from './family.ts';
import { type Exemplar, Histogram } from './histogram.ts';
import { escapeHelp, escapeLabelValue } from './labels.ts';
import { boundText, numberText, openMetricsBoundText, openMetricsNumberText } from './number-text.ts';
import type { FamilyGroup } from './scrape.ts';

/** How the two formats differ. */
export interface ExpositionFormat {
  readonly name: 'text' | 'openmetrics';
  readonly contentType: string;
  /** The HELP and TYPE lines. */
  head(group: FamilyGroup): string;
  bound(bound: number): string;
  number(value: number): string;
  readonly exemplars: boolean;
  /** What closes the exposition. */
  readonly end: string;
}

/** Text format 0.0.4. */
export const TEXT_FORMAT: ExpositionFormat = {
  name: 'text',
  contentType: 'text/plain; version=0.0.4; charset=utf-8',
  head: ({ name, type, help }) =>
    `# HELP ${name}${help === '' ? '' : ` ${escapeHelp(help)}`}\n# TYPE ${name} ${type}\n`,
  bound: boundText,
  number: numberText,
  exemplars: false,
  end: '',
};

/** OpenMetrics 1.0.0; a counter without `_total` is of unknown type there, to keep its name. */
export const OPENMETRICS_FORMAT: ExpositionFormat = {
  name: 'openmetrics',
  contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  head: ({ name, type, help }) => {
    const suffixed = type === 'counter' && name.endsWith('_total');
    const family = suffixed ? name.slice(0, -'_total'.length) : name;
    const shown = type === 'counter' && !suffixed ? 'unknown' : type;
    return `# HELP ${family} ${escapeHelp(help).replaceAll('"', '\\"')}\n# TYPE ${family} ${shown}\n`;
  },
  bound: openMetricsBoundText,
  number: openMetricsNumberText,
  exemplars: true,
  end: '# EOF\n',
};

/** Writes one family; nothing without series. */
export function writeFamily(writer: ExpositionWriter, group: FamilyGroup, format: ExpositionFormat): void {
  let first = true;
  for (const { family, series } of group.members()) {
    if (first) writer.text(format.head(group));
    first = false;
    series.lines[format.name] ??= lineStarts(group.name, family.bounds, series, format);
    writeSeries(writer, series, series.lines[format.name]!, format);
  }
}

function writeSeries(
  writer: ExpositionWriter,
  { child }: Series,
  starts: readonly Uint8Array[],
  format: ExpositionFormat,
): void {
  writer.bytes(starts[0]!);
  if (child instanceof Histogram) {
    const { cells } = child;
    const exemplars = format.exemplars ? child.exemplars : undefined;
    const last = cells.length - 1;
    let count = 0;
    for (let i = 0; i < last; i++) {
      if (i > 0) writer.bytes(starts[i]!);
      count += cells[i]!;
      writer.number(`${count}`);
      if (exemplars?.[i] !== undefined) writer.text(exemplarText(exemplars[i]!));
    }
    writer.bytes(starts[last]!);
    writer.number(format.number(cells[last]!));
    writer.bytes(starts[last + 1]!);
    writer.number(`${count}`);
  } else writer.number(format.number(child.value));
  writer.number('\n');
}

/**
 * What comes before each value of a series: the beginning of its line and, from the second on, the end of the line
 * before. Of a histogram those are its buckets, its sum and its count.
 */
function lineStarts(
  name: string,
  bounds: Float64Array,
  { child, labelText }: Series,
  format: ExpositionFormat,
): Uint8Array[] {
  const braced = labelText === '' ? '' : `{${labelText}}`;
  if (!(child instanceof Histogram)) return [Buffer.from(`${name}${braced} `)];
  const comma = labelText === '' ? '' : `${labelText},`;
  const buckets = [...bounds, Number.POSITIVE_INFINITY].map(
    (bound) => `${name}_bucket{${comma}le="${format.bound(bound)}"} `,
  );
  const starts = [...buckets, `${name}_sum${braced} `, `${name}_count${braced} `];
  return starts.map((start, i) => Buffer.from(i === 0 ? start : `\n${start}`));
}

function exemplarText({ traceId, value, timestampS }: Exemplar): string {
  const label = `{trace_id="${escapeLabelValue(traceId)}"}`;
  return ` # ${label} ${openMetricsNumberText(value)} ${timestampS.toFixed(3)}`;
}
