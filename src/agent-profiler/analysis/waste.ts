import { mix32 } from '../../base/random.ts';
import type { Trace } from '../input/event.ts';
import { childLists, type Span, traceSpans } from './span-tree.ts';

/** What could have been saved, counted while traces pass. */
export interface Waste {
  /** Tool calls of one function that ran one after another with nothing between them. */
  readonly serialTools: { readonly groups: number; readonly savableS: number };
  /** LLM calls whose model and whole prompt came before. */
  readonly repeatedPrompts: { readonly calls: number; readonly seconds: number; readonly tokens: number };
  /** Time of functions in which no call of theirs ran. */
  readonly functionSelfS: number;
  readonly openSpans: number;
  readonly llmS: number;
  readonly toolS: number;
  readonly llmCalls: number;
  readonly callsWithoutUsage: number;
  /** Seconds by tool name, whole duration. */
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
  #open = 0;
  #llmS = 0;
  #toolS = 0;
  #llmCalls = 0;
  #withoutUsage = 0;

  add(trace: Trace): void {
    const spans = traceSpans(trace, 'parent-links', true);
    const { roots, children } = childLists(spans);
    for (const span of spans) this.#count(span);
    for (const list of [roots, ...children]) this.#serialTools(list.map((i) => spans[i]!));
    for (const [i, span] of spans.entries())
      if (span.type === 'FUNCTION')
        this.#functionSelfS +=
          span.endS -
          span.startS -
          covered(
            children[i]!.map((c) => spans[c]!),
            span,
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

  #count(span: Span): void {
    const seconds = span.endS - span.startS;
    if (span.open) this.#open++;
    if (span.type === 'LLM') {
      this.#llmS += seconds;
      this.#llmCalls++;
      if (!span.open && span.promptTokens + span.totalTokens === 0) this.#withoutUsage++;
    } else if (span.type === 'TOOL') {
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
    for (const span of siblings) {
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

function covered(children: readonly Span[], { startS, endS }: Span): number {
  let sumS = 0;
  let reachedS = startS;
  for (const child of children) {
    const toS = Math.min(endS, child.endS);
    sumS += Math.max(0, toS - Math.max(reachedS, child.startS));
    reachedS = Math.max(reachedS, toS);
  }
  return sumS;
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
