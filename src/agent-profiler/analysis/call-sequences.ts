import { byTime, type Trace } from '../input/event.ts';
import { llmName, toolName } from '../output/flat-table.ts';
import { Column, cutCodePoints } from './column.ts';
import { RadixTree, TEXT_ROOM_BYTES } from './radix-tree.ts';

export interface TokenRule {
  /** Whether the head of the prompt is part of an LLM call's token; the reference loses it. */
  readonly withText: boolean;
  /** Code points of the prompt that are kept. */
  readonly maxTextLength: number;
  /** Rewrites the prompt before it is cut. */
  readonly rewrite?: (text: string) => string;
}

/** The calls of all requests end to end: tokens and durations, with the bounds of each request. */
export interface CallSequences {
  readonly tokens: Int32Array;
  readonly seconds: Float64Array;
  /** Request i holds the calls from `starts[i]` to `starts[i + 1]`. */
  readonly starts: Int32Array;
  /** 0-based number of each request in the data set; requests without events are left out. */
  readonly requests: Int32Array;
  name(token: number): string;
}

const MARK = '<common_prefix>';

/** Finished LLM and tool calls of each request by start time: 12 bytes a call and the distinct bytes of the tokens. */
export class CallSequenceCollector {
  readonly #rule: TokenRule;
  // A token's number is its node, so that prompts that begin alike share their bytes.
  readonly #names: RadixTree;
  readonly #tokens = Column.counts();
  readonly #seconds = new Column();
  readonly #starts: number[] = [0];
  readonly #requests: number[] = [];

  constructor(rule: TokenRule, maxTextBytes = TEXT_ROOM_BYTES) {
    this.#rule = rule;
    this.#names = new RadixTree({ bytes: maxTextBytes });
  }

  /** Whether the tokens of some prompts were shortened to stay within the bound. */
  get isCut(): boolean {
    return this.#names.isCut;
  }

  add(trace: Trace): void {
    if (trace.events.length === 0) return;
    const open = new Map<string, { token: string; startS: number; endS: number | undefined }>();
    const calls: { token: string; startS: number; endS: number | undefined }[] = [];
    for (const event of byTime(trace.events)) {
      if (event.kind !== 'LLM' && event.kind !== 'TOOL') continue;
      if (event.phase === 'start') {
        const text = event.kind === 'LLM' && this.#rule.withText ? this.#cut(event.inputText ?? '') : '';
        const name = event.kind === 'LLM' ? `LLM:${llmName(event)}` : `TOOL:${toolName(event)}`;
        const call = { token: text === '' ? name : `${name}|${text}`, startS: event.timeS, endS: undefined };
        open.set(event.uuid, call);
        calls.push(call);
      } else if (event.phase === 'end') {
        const call = open.get(event.uuid);
        if (call !== undefined) call.endS = event.timeS;
        open.delete(event.uuid);
      }
    }
    for (const { token, startS, endS } of calls) {
      if (endS === undefined) continue;
      this.#tokens.push(this.#names.insert(token));
      this.#seconds.push(Math.max(0, endS - startS));
    }
    this.#starts.push(this.#tokens.length);
    this.#requests.push(trace.index);
  }

  finish(): CallSequences {
    return {
      tokens: Int32Array.from(this.#tokens.view()),
      seconds: this.#seconds.view(),
      starts: Int32Array.from(this.#starts),
      requests: Int32Array.from(this.#requests),
      name: (token) => this.#names.path(token).toString('utf8'),
    };
  }

  #cut(text: string): string {
    const { rewrite, maxTextLength } = this.#rule;
    const whole = rewrite === undefined ? text : rewrite(text);
    return cutCodePoints(whole, maxTextLength).replaceAll('\n', ' ');
  }
}

/** Replaces, for each prefix in turn, its longest head that starts the text, wherever it occurs in the text. */
export function chainPrefixes(text: string, prefixes: readonly string[]): string {
  let chained = text;
  for (const prefix of prefixes) {
    let shared = 0;
    while (shared < prefix.length && prefix[shared] === chained[shared]) shared++;
    if (shared > 0) chained = chained.replaceAll(prefix.slice(0, shared), MARK);
  }
  return chained;
}

/** The same sequences with each token's name rewritten; tokens that become equal become one. */
export function renameTokens(sequences: CallSequences, rename: (name: string) => string): CallSequences {
  const names = new RadixTree();
  const renamed = new Map<number, number>();
  const tokens = sequences.tokens.map((token) => {
    let to = renamed.get(token);
    if (to === undefined) {
      to = names.insert(rename(sequences.name(token)));
      renamed.set(token, to);
    }
    return to;
  });
  return { ...sequences, tokens, name: (token) => names.path(token).toString('utf8') };
}
