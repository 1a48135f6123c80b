export type ConstantLabels = Readonly<Record<string, string>>;

/** Sorted `name="value"` pairs joined by commas, values escaped; empty for no labels. */
export function labelText(labels: ConstantLabels): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}="${escapeLabelValue(labels[name]!)}"`)
    .join(',');
}

export function escapeLabelValue(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    : value;
}

/** HELP text of format 0.0.4, where quotes stay. */
export function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
