import { type RowPlace, rowError, shown } from './row-error.ts';
import type { TraceRow } from './trace.ts';

/** Makes rows of a CSV file, its columns found by name in the header; undefined for rows that are left out. */
export type CsvReader = (cells: readonly string[], place: RowPlace) => TraceRow | undefined;

/** Cells of one CSV line; quotes may enclose commas, and stand doubled for themselves. */
export function csvCells(line: string): string[] {
  if (!line.includes('"')) return line.split(',').map((cell) => cell.trim());
  const cells: string[] = [];
  let cell = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (quoted && char === '"' && line[i + 1] === '"') cell += line[++i];
    else if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) {
      cells.push(cell.trim());
      cell = '';
    } else cell += char;
  }
  cells.push(cell.trim());
  return cells;
}

/** Azure LLM inference 2023: `TIMESTAMP,ContextTokens,GeneratedTokens`, UTC with 100 ns digits. */
export function azureReader(header: readonly string[], place: RowPlace): CsvReader {
  const columns = locate(header, ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens'], place);
  return (cells, at) => ({
    line: at.line,
    timestampMs: azureTime(cells[columns[0]!] ?? '', at),
    inputLength: tokens(cells[columns[1]!], 'ContextTokens', at),
    outputLength: tokens(cells[columns[2]!], 'GeneratedTokens', at),
  });
}

/**
 * BurstGPT: times in seconds; v1.2 adds `Session ID` and `Elapsed time`. Failed rows (no response tokens) are left
 * out, and so are rows of other models when one is asked for.
 */
export function burstGptReader(
  header: readonly string[],
  place: RowPlace,
  timeScale: number,
  model?: string,
): CsvReader {
  const [time, modelAt, request, response] = locate(
    header,
    ['Timestamp', 'Model', 'Request tokens', 'Response tokens'],
    place,
  ) as [number, number, number, number];
  const session = header.findIndex((name) => name.toLowerCase() === 'session id');
  return (cells, at) => {
    const outputLength = tokens(cells[response], 'Response tokens', at);
    if (outputLength === 0 || (model !== undefined && cells[modelAt] !== model)) return undefined;
    const seconds = Number(cells[time] || Number.NaN);
    if (Number.isNaN(seconds)) {
      throw rowError(at, `Timestamp ${shown(cells[time])} is not a number`, 'BurstGPT times are seconds.');
    }
    const id = cells[session];
    return {
      line: at.line,
      timestampMs: seconds * timeScale,
      inputLength: tokens(cells[request], 'Request tokens', at),
      outputLength,
      ...(id === undefined || id === '' || id === '-' ? {} : { sessionId: id }),
    };
  };
}

function locate(header: readonly string[], names: readonly string[], place: RowPlace): readonly number[] {
  return names.map((name) => {
    const at = header.findIndex((column) => column.toLowerCase() === name.toLowerCase());
    if (at >= 0) return at;
    throw rowError(place, `has no column ${name}`, `The columns are ${shown(header.join(','))}.`);
  });
}

function tokens(cell: string | undefined, name: string, place: RowPlace): number {
  // Some exports write counts as floats ("374.0").
  const value = Number(cell === undefined || cell === '' ? Number.NaN : cell);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw rowError(place, `${name} ${shown(cell)} is not a token count`, 'Give a whole number from 0 on.');
}

function azureTime(cell: string, place: RowPlace): number {
  const match = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?/.exec(cell);
  if (match === null) {
    throw rowError(
      place,
      `TIMESTAMP ${shown(cell)} is not a time`,
      'Write it as 2023-11-16 18:15:46.6805900.',
    );
  }
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(year, month - 1, day, hour, minute, second) + Number(match[7] ?? 0) * 1000;
}
