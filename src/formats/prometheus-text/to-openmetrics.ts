/**
 * Rewrites the comments of a text of format 0.0.4 so that it may stand in an OpenMetrics exposition: counters lose
 * their `_total` there, and those without it become of unknown type to keep their name. Without `# EOF`.
 */
export function toOpenMetrics(text: string): string {
  const counters = new Set([...text.matchAll(/^# TYPE (\S+) counter$/gm)].map((match) => match[1] ?? ''));
  const lines = text.split('\n').map((line) => {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+)(?: (.*))?$/.exec(line) ?? [];
    if (keyword === undefined) return line.startsWith('#') ? '' : line;
    const family = counters.has(name) ? name.replace(/_total$/, '') : name;
    if (keyword === 'HELP') return `# HELP ${family} ${rest.replaceAll('"', '\\"')}`;
    const suffixless = rest === 'untyped' || (rest === 'counter' && family === name);
    return `# TYPE ${family} ${suffixless ? 'unknown' : rest}`;
  });
  return lines
    .filter((line) => line !== '')
    .map((line) => `${line}\n`)
    .join('');
}
