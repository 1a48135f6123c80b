import type { Labels, LineProblem } from './exposition.ts';
import { SampleLineReader } from './sample-line.ts';

/** Text with labels added, and the lines that were left out because they could not be read. */
export interface InjectedText {
  readonly text: string;
  readonly problems: readonly LineProblem[];
}

/**
 * Adds labels to every sample of a text of format 0.0.4 that does not have them, raw as given; a sample's own label
 * wins. Comments stay, lines that are not samples go: one of them would spoil the whole scrape.
 */
export function injectLabels(text: string, labels: Labels): InjectedText {
  const reader = new SampleLineReader(false);
  const problems: LineProblem[] = [];
  const kept: string[] = [];
  const additions = new Additions(labels);
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed === '# EOF') continue;
    if (trimmed.startsWith('#')) {
      kept.push(trimmed);
      continue;
    }
    const sample = reader.read(trimmed);
    if (typeof sample === 'string') problems.push({ line: index + 1, reason: sample });
    else kept.push(insert(trimmed, sample.name, additions.missingFrom(sample.labels)));
  }
  return { text: kept.length === 0 ? '' : `${kept.join('\n')}\n`, problems };
}

function insert(line: string, name: string, added: string): string {
  if (added === '') return line;
  const rest = line.slice(name.length).trimStart();
  if (!rest.startsWith('{')) return `${name}{${added}} ${rest}`;
  const inside = rest.slice(1).trimStart();
  return `${name}{${added}${inside.startsWith('}') ? '' : ','}${inside}`;
}

/** The text of the labels that a sample lacks, made once per set of names it has. */
class Additions {
  readonly #labels: Labels;
  readonly #byNames = new Map<string, string>();

  constructor(labels: Labels) {
    this.#labels = labels;
  }

  missingFrom(existing: Labels): string {
    const names = Object.keys(existing).join(',');
    let text = this.#byNames.get(names);
    if (text === undefined) {
      const missing = Object.entries(this.#labels).filter(([name]) => !Object.hasOwn(existing, name));
      text = missing.map(([name, value]) => `${name}="${escapeValue(value)}"`).join(',');
      this.#byNames.set(names, text);
    }
    return text;
  }
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
