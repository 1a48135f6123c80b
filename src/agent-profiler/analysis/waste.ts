import { mix32 } from '../../base/random.ts';
import type { Trace } from '../input/event.ts';
import { childLists, type Span, traceSpans } from './span-tree.ts';

/** What could have been saved, counted while traces pass. */
export interface Waste {
  /** Tool calls of one function that ran one after another with nothing between them. */
  readonly serialTools: { readonly groups: number; readonly savableS: number };
  /** LLM calls whose model and whole prompt came before. */
  readonly repeatedPrompts: { readonly calls: number; readonly seconds: number; readonly tokens: number };
  /** Time of functions that call others, in which no call of theirs ran. */
  readonly functionSelfS: number;
  /** Spans that never ended, by name: calls that failed or were given up, for the most part. */
  readonly openSpans: ReadonlyMap<string, number>;
  readonly llmS: number;
  /** Time of tools, without model calls and tools that they make themselves. */
  readonly toolS: number;
  readonly llmCalls: number;
  readonly callsWithoutUsage: number;
  /** The same by tool name. */
  readonly toolSeconds: ReadonlyMap<string, number>;
}

/** Two tools this close together did not wait for anything else. */
const ADJACENT_S = 0.1;

/** Counts waste; memory is 8 bytes per distinct prompt. */
export class WasteCollector {
  readonly #prompts = new Set<number>();
  readonly #toolSeconds = new Map<string, number>();
  #serialGroups = 0;
  #serialS = 0;
  #repeated = { calls: 0, seconds: 0, tokens: 0 };
  #functionSelfS = 0;
  readonly #open = new Map<string, number>();
  #llmS = 0;
  #toolS = 0;
  #llmCalls = 0;
  #withoutUsage = 0;

  add(trace: Trace): void {
    const spans = traceSpans(trace, 'parent-links');
    const { roots, children } = childLists(spans);
    for (const [i, span] of spans.entries()) this.#count(span, callsWithin(spans, children, i));
    for (const list of [roots, ...children]) this.#serialTools(list.map((i) => spans[i]!));
    // One that calls nothing does its own work, such as the function of a tool.
    for (const [i, span] of spans.entries())
      if (span.type === 'FUNCTION' && children[i]!.length > 0)
        this.#functionSelfS += ownS(
          span,
          children[i]!.map((c) => spans[c]!),
        );
    this.#repeatedPrompts(trace, spans);
  }

  finish(): Waste {
    return {
      serialTools: { groups: this.#serialGroups, savableS: this.#serialS },
      repeatedPrompts: this.#repeated,
      functionSelfS: this.#functionSelfS,
      openSpans: this.#open,
      llmS: this.#llmS,
      toolS: this.#toolS,
      llmCalls: this.#llmCalls,
      callsWithoutUsage: this.#withoutUsage,
      toolSeconds: this.#toolSeconds,
    };
  }

  #count(span: Span, within: readonly Span[]): void {
    if (span.open) this.#open.set(span.name, (this.#open.get(span.name) ?? 0) + 1);
    if (span.type === 'LLM') {
      this.#llmS += span.endS - span.startS;
      this.#llmCalls++;
      if (!span.open && span.promptTokens + span.totalTokens === 0) this.#withoutUsage++;
    } else if (span.type === 'TOOL') {
      const seconds = ownS(span, within);
      this.#toolS += seconds;
      this.#toolSeconds.set(span.name, (this.#toolSeconds.get(span.name) ?? 0) + seconds);
    }
  }

  #serialTools(siblings: readonly Span[]): void {
    let run: Span[] = [];
    const close = (): void => {
      if (run.length > 1) {
        const seconds = run.map(({ startS, endS }) => endS - startS);
        this.#serialGroups++;
        this.#serialS +=
          seconds.reduce((sum, s) => sum + s, 0) - seconds.reduce((most, s) => Math.max(most, s), 0);
      }
      run = [];
    };
    // What failed was tried again, which could not be side by side.
    for (const span of siblings.filter(({ open }) => !open)) {
      const last = run.at(-1);
      const follows = last !== undefined && span.startS >= last.endS && span.startS - last.endS <= ADJACENT_S;
      if (span.type !== 'TOOL' || (last !== undefined && !follows)) close();
      if (span.type === 'TOOL') run.push(span);
    }
    close();
  }

  #repeatedPrompts(trace: Trace, spans: readonly Span[]): void {
    const byUuid = new Map(spans.map((span) => [span.uuid, span]));
    for (const event of trace.events) {
      if (event.type !== 'LLM_START' || !event.inputText) continue;
      const key = promptKey(event.name, event.inputText);
      const span = byUuid.get(event.uuid);
      if (!this.#prompts.has(key)) this.#prompts.add(key);
      else if (span !== undefined) {
        this.#repeated.calls++;
        this.#repeated.seconds += span.endS - span.startS;
        this.#repeated.tokens += span.promptTokens;
      }
    }
  }
}

/** Model calls and tools that a tool makes itself, or through functions; by start. */
function callsWithin(
  spans: readonly Span[],
  children: readonly (readonly number[])[],
  tool: number,
): readonly Span[] {
  if (spans[tool]!.type !== 'TOOL') return [];
  const calls: Span[] = [];
  const functions = [tool];
  for (let at = functions.pop(); at !== undefined; at = functions.pop())
    for (const child of children[at]!)
      if (spans[child]!.type === 'FUNCTION') functions.push(child);
      else calls.push(spans[child]!);
  return calls.sort((a, b) => a.startS - b.startS);
}

/** Duration without the time in which any of these, in order of their starts, ran. */
function ownS({ startS, endS }: Span, others: readonly Span[]): number {
  let coveredS = 0;
  let reachedS = startS;
  for (const other of others) {
    const toS = Math.min(endS, other.endS);
    coveredS += Math.max(0, toS - Math.max(reachedS, other.startS));
    reachedS = Math.max(reachedS, toS);
  }
  return endS - startS - coveredS;
}

function promptKey(model: string, text: string): number {
  let low = model.length;
  let high = text.length;
  for (let i = 0; i < model.length; i++) low = Math.imul(low ^ model.charCodeAt(i), 0x01000193);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high + unit, 0x85ebca6b) ^ (high >>> 13);
  }
  return (mix32(high) & 0x1fffff) * 2 ** 32 + mix32(low);
}
