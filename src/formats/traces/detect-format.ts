import { fail } from '../../base/errors.ts';
import { csvCells } from './csv-row.ts';
import { parseJsonObject } from './json-row.ts';
import { rowError } from './row-error.ts';
import { type TimeUnit, TRACE_FORMATS, type TraceFormat } from './trace.ts';

/** The format that a file's first line belongs to; an error that lists the known formats if none. */
export function detectFormat(firstLine: string, source = 'trace'): TraceFormat {
  const place = { source, line: 1 };
  const mend = `Name the format; known are ${TRACE_FORMATS.join(', ')}.`;
  if (!firstLine.trimStart().startsWith('{')) {
    const names = csvCells(firstLine).map((name) => name.toLowerCase());
    if (names.includes('contexttokens')) return 'azure';
    if (names.includes('request tokens')) return 'burstgpt';
    throw rowError(place, 'is neither a JSON object nor a known CSV header', mend);
  }
  const fields = parseJsonObject(firstLine, place);
  if ('t' in fields && 'in' in fields && 'out' in fields) return 'weka';
  if ('hash_ids' in fields) return 'mooncake';
  if ('prompt' in fields) return 'vllm-custom';
  throw rowError(place, `has the fields ${Object.keys(fields).join(', ')}, which no known format has`, mend);
}

// Rates between one request in fifty seconds and a hundred per second are what recorded services see.
const isPlausible = (requestsPerS: number): boolean => requestsPerS >= 0.02 && requestsPerS <= 100;

// Fewer rows than this say nothing about a rate.
const ENOUGH_ROWS = 20;

/**
 * The unit in which timestamps make a plausible request rate. `documented` is the format's own unit: it stands
 * unless it is implausible while the other is not, which is an error that asks for the unit. Without one, times with
 * fractions are seconds, and a doubtful span asks too.
 */
export function timeUnit(
  timestamps: readonly number[],
  documented: TimeUnit | undefined,
  source = 'trace',
): TimeUnit {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const time of timestamps) {
    first = Math.min(first, time);
    last = Math.max(last, time);
  }
  const span = last - first;
  if (timestamps.length < ENOUGH_ROWS || span <= 0) return documented ?? 's';
  const asSeconds = timestamps.length / span;
  const plausible = { s: isPlausible(asSeconds), ms: isPlausible(asSeconds * 1000) };
  if (documented !== undefined) {
    const other = documented === 's' ? 'ms' : 's';
    if (plausible[documented] || !plausible[other]) return documented;
  } else {
    if (plausible.s !== plausible.ms) return plausible.s ? 's' : 'ms';
    if (timestamps.some((time) => !Number.isInteger(time))) return 's';
  }
  throw fail('KV_TRACE_UNIT', {
    source,
    rows: timestamps.length,
    span,
    asSeconds: Number(asSeconds.toPrecision(3)),
    asMs: Number((asSeconds * 1000).toPrecision(3)),
  });
}
