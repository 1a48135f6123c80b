import { byTime, type Trace } from '../input/event.ts';
import { llmName } from '../output/flat-table.ts';
import { byCodePoint, Column, getOrMake } from './column.ts';
import { type Percentiles, percentiles } from './confidence.ts';

/** New words of each prompt compared with the previous prompt to the same model in the same request. */
export class TokenUniquenessCollector {
  readonly #samples = new Map<string, Column>();

  add(trace: Trace): void {
    const previous = new Map<string, ReadonlySet<string>>();
    for (const event of byTime(trace.events)) {
      if (event.type !== 'LLM_START') continue;
      const name = llmName(event);
      const current = words(event.inputText ?? 'None');
      const before = previous.get(name);
      if (before !== undefined) {
        let fresh = 0;
        for (const word of current) if (!before.has(word)) fresh++;
        this.#column(name).push(fresh);
      }
      previous.set(name, current);
    }
  }

  /** By model; models without two calls in one request are absent. */
  finish(): Readonly<Record<string, Percentiles>> {
    const names = [...this.#samples.keys()].sort(byCodePoint);
    return Object.fromEntries(names.map((name) => [name, percentiles(this.#samples.get(name)!.ascending())]));
  }

  #column(name: string): Column {
    return getOrMake(this.#samples, name, () => new Column());
  }
}

/** Distinct runs of letters, digits and underscores in lower case. */
function words(text: string): ReadonlySet<string> {
  const lower = text.toLowerCase();
  // Property escapes cost three times the ASCII class.
  const isAscii = !/[\u0080-\uffff]/.test(lower);
  return new Set(lower.match(isAscii ? /[a-z0-9_]+/g : /[\p{L}\p{N}_]+/gu));
}
