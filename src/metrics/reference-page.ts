import { resolveBuckets } from './buckets.ts';
import { METRICS_TABLES } from './catalogue.ts';
import { boundText } from './number-text.ts';
import type { FamilySpec } from './spec.ts';

const HEAD = `# Metrics

Every family that a Kvasir process may expose. Names and HELP texts that begin with \`dynamo_\`, \`vllm:\`, \`sglang:\`, \`lmcache:\` or \`kvbm_\` are those of the
projects they come from, so that their dashboards keep working; \`kvasir_\` families are our own. A family marked with a version is hidden by
\`--metrics-compat 1.0.2\`. Bucket bounds of ranges in *italics* follow \`DYN_METRICS_*_{MIN,MAX,COUNT}\`.
`;

/** The reference page, made from the same tables as the instruments. */
export function metricsReferencePage(): string {
  const sections = METRICS_TABLES.map(({ title, labels, families }) => {
    const under = labels.length === 0 ? '' : `\nUnder the labels ${labels.map(code).join(', ')}.\n`;
    const rows = Object.values(families).map(row);
    return `\n## ${title}\n${under}\n| family | type | labels | meaning | since |\n|---|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return HEAD + sections.join('') + bucketSection();
}

function row({ name, type, labels, help, since }: FamilySpec): string {
  return `| ${code(name)} | ${type} | ${labels.map(code).join(', ')} | ${help.replaceAll('|', '\\|')} | ${since ?? ''} |`;
}

function bucketSection(): string {
  const families = METRICS_TABLES.flatMap((table) => Object.values<FamilySpec>(table.families));
  const rows = families
    .filter(({ type }) => type === 'histogram')
    .map(({ name, buckets = [] }) => {
      const bounds = resolveBuckets(buckets).map(boundText).join(', ');
      return `| ${code(name)} | ${'variable' in buckets ? `*${bounds}*` : bounds} |`;
    });
  return `\n## Buckets\n\n| histogram | upper bounds, \`+Inf\` implied |\n|---|---|\n${rows.join('\n')}\n`;
}

function code(text: string): string {
  return `\`${text}\``;
}
