#!/usr/bin/env node
import { closestVerb, VERBS } from './verbs.ts';

// Whoever reads the output may have seen enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// Nobody reads the log any more; the work goes on.
process.stderr.on('error', () => {});

const [first = '', second = ''] = process.argv.slice(2);
const verb = VERBS[`${first} ${second}`] ? `${first} ${second}` : first;
const entry = VERBS[verb];

if (entry !== undefined) {
  const [{ runCommand }, command] = await Promise.all([import('../commands/command-line.ts'), entry.load()]);
  process.exitCode = await runCommand(command, process.argv.slice(2 + verb.split(' ').length));
} else if (['', '-h', '--help', 'help'].includes(first)) {
  const rows = Object.entries(VERBS).map(([name, { summary }]) => `  ${name.padEnd(20)}${summary}`);
  process.stdout.write(
    `kvasir: route, observe, profile and size KV-cache-aware LLM serving\n\nUsage: kvasir COMMAND [flags]\n\n${rows.join('\n')}\n\nkvasir COMMAND --help shows its flags.\n`,
  );
} else if (['-V', '--version', 'version'].includes(first)) {
  const { readFileSync } = await import('node:fs');
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  process.stdout.write(`${manifest.version}\n`);
} else {
  const words = [first, second].filter((word) => word !== '' && !word.startsWith('-')).join(' ');
  const near = closestVerb(words) ?? closestVerb(first);
  process.stderr.write(
    `error: unknown command ${JSON.stringify(words)}\n  ${near ? `Did you mean kvasir ${near}? ` : ''}kvasir --help lists the commands.\n`,
  );
  process.exitCode = 2;
}
