import type { LineProblem, MetricType, ParsedExposition, ParsedFamily } from './exposition.ts';
import { SampleLineReader, unescapeValue } from './sample-line.ts';

const TYPES: ReadonlySet<string> = new Set<MetricType>([
  'counter',
  'gauge',
  'histogram',
  'gaugehistogram',
  'summary',
  'info',
  'stateset',
  'unknown',
]);

/** Suffixes that samples of a family may add to its name, per type. */
const SUFFIXES: Readonly<Partial<Record<MetricType, readonly string[]>>> = {
  counter: ['_total', '_created'],
  histogram: ['_bucket', '_sum', '_count', '_created'],
  gaugehistogram: ['_bucket', '_gsum', '_gcount'],
  summary: ['_sum', '_count', '_created'],
  info: ['_info'],
};

/** Problems kept; a text that is not metrics at all has one per line. */
const MAX_PROBLEMS = 100;

/**
 * Reads text format 0.0.4, or OpenMetrics when the text ends with its `# EOF`. Lines that cannot be read are
 * reported and skipped. O(characters).
 */
export function parseExposition(text: string): ParsedExposition {
  const openMetrics = /(^|\n)# EOF\n?$/.test(text);
  const reader = new ExpositionReader(openMetrics);
  let line = 0;
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('\n', start);
    if (end < 0) end = text.length;
    line++;
    const content = text.charCodeAt(end - 1) === CARRIAGE_RETURN ? end - 1 : end;
    if (content > start) reader.take(text.slice(start, content), line);
    start = end + 1;
  }
  const { families, problems } = reader;
  return { format: openMetrics ? 'openmetrics' : 'text', families, problems };
}

const CARRIAGE_RETURN = 0x0d;

class ExpositionReader {
  readonly families = new Map<string, ParsedFamily>();
  readonly problems: LineProblem[] = [];
  readonly #samples: SampleLineReader;
  /** Sample name to family, for samples that follow their kind. */
  readonly #owners = new Map<string, ParsedFamily>();

  constructor(openMetrics: boolean) {
    this.#samples = new SampleLineReader(openMetrics);
  }

  take(line: string, number: number): void {
    const text = line.charCodeAt(0) === 0x20 ? line.trimStart() : line;
    if (text === '') return;
    const problem = text.startsWith('#') ? this.#comment(text) : this.#sample(text);
    if (problem !== undefined && this.problems.length < MAX_PROBLEMS)
      this.problems.push({ line: number, reason: problem });
  }

  #comment(line: string): string | undefined {
    const [, keyword, name = '', rest = ''] = /^#\s+(HELP|TYPE)\s+(\S+)(?:[ \t](.*))?$/.exec(line) ?? [];
    if (keyword === undefined) return undefined;
    const family = this.#family(name);
    if (keyword === 'HELP') {
      family.help = unescapeValue(rest);
      return undefined;
    }
    const type = rest.trim() === 'untyped' ? 'unknown' : rest.trim();
    if (!TYPES.has(type)) return `${JSON.stringify(type)} is not a type`;
    if (family.samples.length > 0) return `the type of ${name} comes after its samples`;
    family.type = type as MetricType;
    for (const suffix of SUFFIXES[family.type] ?? []) this.#owners.set(name + suffix, family);
    return undefined;
  }

  #sample(line: string): string | undefined {
    const sample = this.#samples.read(line);
    if (typeof sample === 'string') return sample;
    const owner = this.families.get(sample.name) ?? this.#owners.get(sample.name);
    (owner ?? this.#family(sample.name)).samples.push(sample);
    return undefined;
  }

  #family(name: string): ParsedFamily {
    const known = this.families.get(name);
    if (known !== undefined) return known;
    const family: ParsedFamily = { name, type: 'unknown', help: '', samples: [] };
    this.families.set(name, family);
    return family;
  }
}
