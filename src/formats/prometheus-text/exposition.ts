/** What a `# TYPE` line may say in either format; `unknown` without one. */
export type MetricType =
  | 'counter'
  | 'gauge'
  | 'histogram'
  | 'gaugehistogram'
  | 'summary'
  | 'info'
  | 'stateset'
  | 'unknown';

export type Labels = Readonly<Record<string, string>>;

/** A single observation that OpenMetrics attaches to a bucket or a counter. */
export interface ParsedExemplar {
  readonly labels: Labels;
  readonly value: number;
  /** Seconds since the Unix epoch. */
  readonly timestampS: number | undefined;
}

export interface ParsedSample {
  /** Full name, suffix included. */
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
  readonly timestampMs: number | undefined;
  readonly exemplar?: ParsedExemplar;
}

export interface ParsedFamily {
  /** As the TYPE line has it: in OpenMetrics without `_total`. */
  readonly name: string;
  type: MetricType;
  help: string;
  readonly samples: ParsedSample[];
}

/** A line that could not be read; the rest of the text was. */
export interface LineProblem {
  /** From 1. */
  readonly line: number;
  readonly reason: string;
}

export interface ParsedExposition {
  readonly format: 'text' | 'openmetrics';
  /** By name, in order of first mention. */
  readonly families: ReadonlyMap<string, ParsedFamily>;
  readonly problems: readonly LineProblem[];
}
