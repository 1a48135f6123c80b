import type { Profile } from '../profiler.ts';

const MAX_TREE_NODES = 500;

/** workflow_profiling_report.txt: what the four workflow analyses found, for a person. */
export function textReport(profile: Profile): string {
  const parts: string[] = [];
  if (profile.simpleStack !== undefined) parts.push(simple(profile.simpleStack));
  if (profile.nestedStack !== undefined) parts.push(nested(profile.nestedStack));
  if (profile.spikes !== undefined) parts.push(spikes(profile.spikes));
  if (profile.patterns !== undefined) parts.push(patterns(profile.patterns));
  return parts.map((part) => `\n\n\n${part}`).join('');
}

function simple({ stats, maxConcurrency }: NonNullable<Profile['simpleStack']>): string {
  const top = [...stats].sort((a, b) => b.bottleneck_score - a.bottleneck_score).slice(0, 3);
  return [
    'Calls by model and tool',
    `  distinct operations: ${stats.length}`,
    `  most calls at once: ${maxConcurrency}`,
    '  largest bottlenecks (average seconds x most at once):',
    ...top.map(
      (s, i) =>
        `  ${i + 1}. ${s.operation_type} ${s.operation_name}: score ${s.bottleneck_score.toFixed(2)}, ${s.usage_count} calls, ` +
        `average ${s.avg_duration.toFixed(2)} s, p95 ${s.p95_duration.toFixed(2)} s, p99 ${s.p99_duration.toFixed(2)} s, at most ${s.max_concurrency} at once`,
    ),
  ].join('\n');
}

function nested(stack: NonNullable<Profile['nestedStack']>): string {
  const { p50, p90, p95, p99 } = stack.percentiles;
  const lines = [
    'Call trees',
    `  spans at once: p50 ${p50}, p90 ${p90}, p95 ${p95}, p99 ${p99}`,
    '  largest subtrees:',
  ];
  for (const node of stack.top())
    lines.push(
      `  - ${node.operation_type} ${node.operation_name}: ${node.subtree_time.toFixed(2)} s in all, ${node.self_time.toFixed(2)} s of its own`,
    );
  const shown = Math.min(stack.size, MAX_TREE_NODES);
  for (let i = 0; i < shown; i++) {
    const node = stack.node(i);
    if (node.depth === 0) lines.push(`  request ${node.request}`);
    const open = node.unfinished ? ', never ended' : '';
    lines.push(
      `${'  '.repeat(Math.min(node.depth, 40) + 2)}${node.operation_type} ${node.operation_name}: ${node.duration.toFixed(2)} s, ` +
        `self ${node.self_time.toFixed(2)} s, subtree ${node.subtree_time.toFixed(2)} s, ${node.concurrency_midpoint} at once${open}`,
    );
  }
  if (shown < stack.size)
    lines.push(`  and ${stack.size - shown} more spans (see workflow_profiling_metrics.json)`);
  return lines.join('\n');
}

function spikes({ summary, timeline }: NonNullable<Profile['spikes']>): string {
  let intervals = 0;
  let seconds = 0;
  for (const [i, level] of timeline.levels.entries()) {
    if (level < summary.spike_threshold) continue;
    intervals++;
    seconds += timeline.times[i + 1]! - timeline.times[i]!;
  }
  const { avg_prompt_tokens: prompt, avg_total_tokens: total } = summary.correlation_stats;
  return [
    'Concurrency',
    `  calls at once: p50 ${summary.p50_concurrency}, p90 ${summary.p90_concurrency}, p95 ${summary.p95_concurrency}, p99 ${summary.p99_concurrency}`,
    `  at ${summary.spike_threshold} or more: ${intervals} intervals, ${seconds.toFixed(2)} s`,
    `  tokens of calls active then: ${prompt.toFixed(1)} prompt, ${total.toFixed(1)} in all`,
    ...Object.entries(summary.average_latency_by_concurrency).map(
      ([level, s]) => `  average duration at ${level} at once: ${s.toFixed(2)} s`,
    ),
  ].join('\n');
}

function patterns(found: NonNullable<Profile['patterns']>): string {
  const lines = ['Frequent call sequences'];
  if (found.length === 0) lines.push('  none');
  for (const p of found)
    lines.push(
      `  ${p.pattern.join(' -> ')}: in ${p.frequency} requests, without gaps in ${(p.coverage * 100).toFixed(0)} %, ${p.average_duration.toFixed(2)} s`,
    );
  return `${lines.join('\n')}\n`;
}
