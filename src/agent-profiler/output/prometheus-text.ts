import type { Distribution, TokenTiming } from '../analysis/token-timing.ts';
import type { Profile } from '../profiler.ts';

/** agent_metrics.prom: TTFT, ITL, latency and KV efficiency by model and function, for a textfile collector. */
export function prometheusText({ extras, requests, events }: Profile): string {
  if (extras === undefined) return '';
  const groups = [
    ...labelled('model', extras.timing.by_model),
    ...labelled('function', extras.timing.by_function),
  ];
  const lines = [
    ...family('kvasir_agent_requests', 'gauge', 'Requests in the profiled trace.', [['', requests]]),
    ...family('kvasir_agent_events', 'gauge', 'Events in the profiled trace.', [['', events]]),
    ...summary(
      'kvasir_agent_time_to_first_token_seconds',
      'From the start of an LLM call to its first token.',
      groups,
      (t) => t.ttft_ms,
    ),
    ...summary(
      'kvasir_agent_inter_token_latency_seconds',
      'Between neighbouring tokens of an LLM call.',
      groups,
      (t) => t.itl_ms,
    ),
    ...summary(
      'kvasir_agent_llm_latency_seconds',
      'From start to end of an LLM call.',
      groups,
      (t) => t.latency_ms,
    ),
  ];
  const gauges = [
    ['prompt_tokens', 'Prompt tokens of the profiled LLM calls.', (t: TokenTiming) => t.prompt_tokens],
    [
      'completion_tokens',
      'Completion tokens of the profiled LLM calls.',
      (t: TokenTiming) => t.completion_tokens,
    ],
    [
      'cached_tokens',
      'Prompt tokens that the engines reported as cached.',
      (t: TokenTiming) => t.cached_tokens,
    ],
    ['kv_efficiency_ratio', 'Cached over prompt tokens.', (t: TokenTiming) => t.kv_efficiency],
  ] as const;
  for (const [name, help, value] of gauges) {
    const rows = groups.flatMap(([labels, timing]): [string, number][] => {
      const found = value(timing);
      return found === null ? [] : [[`{${labels}}`, found]];
    });
    lines.push(...family(`kvasir_agent_${name}`, 'gauge', help, rows));
  }
  return `${lines.join('\n')}\n`;
}

type Labelled = readonly [labels: string, timing: TokenTiming];

function labelled(label: string, groups: Readonly<Record<string, TokenTiming>>): Labelled[] {
  return Object.entries(groups).map(([name, timing]) => [`${label}="${escaped(name)}"`, timing]);
}

function family(
  name: string,
  type: string,
  help: string,
  rows: readonly (readonly [string, number])[],
): string[] {
  if (rows.length === 0) return [];
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...rows.map(([labels, value]) => `${name}${labels} ${value}`),
  ];
}

function summary(
  name: string,
  help: string,
  groups: readonly Labelled[],
  of: (timing: TokenTiming) => Distribution,
): string[] {
  const rows = groups.flatMap(([labels, timing]) => {
    const d = of(timing);
    if (d.n === 0) return [];
    const quantiles = [
      [0.5, d.p50],
      [0.9, d.p90],
      [0.99, d.p99],
    ].map(([q, ms]) => `${name}{${labels},quantile="${q}"} ${ms! / 1000}`);
    return [
      ...quantiles,
      `${name}_sum{${labels}} ${(d.mean * d.n) / 1000}`,
      `${name}_count{${labels}} ${d.n}`,
    ];
  });
  return rows.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} summary`, ...rows];
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
