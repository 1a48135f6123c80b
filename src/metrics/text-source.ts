/** Foreign exposition text without the families that are ours already: two of one name would spoil the scrape. */
export function withoutFamilies(
  text: string,
  taken: ReadonlySet<string>,
  onCollision: (name: string) => void,
): string {
  const kept: string[] = [];
  let skipped: string | undefined;
  for (const line of text.split('\n')) {
    const name = /^# (?:HELP|TYPE|UNIT) (\S+)/.exec(line)?.[1];
    if (name !== undefined) {
      const collides = taken.has(name) || taken.has(`${name}_total`);
      if (collides && skipped !== name) onCollision(name);
      skipped = collides ? name : undefined;
    }
    if (line === '# EOF') continue;
    const ours = line !== '' && !line.startsWith('#') && taken.has(/^[^\s{]*/.exec(line)![0]);
    if (skipped === undefined && !ours) kept.push(line);
  }
  return kept.join('\n');
}
