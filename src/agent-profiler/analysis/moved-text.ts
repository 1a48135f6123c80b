import { mix32 } from '../../base/random.ts';
import { byTime, type Trace } from '../input/event.ts';

/** Text that came in an earlier prompt of the model too, but behind something that differs: no prefix cache serves it. */
export interface MovedText {
  readonly tokens: number;
  /** Of all prompt tokens. */
  readonly share: number;
  /** The function whose calls lose most so, and the end of what one of its prompts has in common with the one before. */
  readonly worst:
    | { readonly functionName: string; readonly calls: number; readonly head: string }
    | undefined;
}

interface FunctionLoss {
  lastPrompt: string;
  calls: number;
  tokens: number;
  head: string;
}

const BYTES_PER_TOKEN = 4;
const [MIN_CHUNK, MAX_CHUNK] = [32, 512];
/** A cut after one byte in so many, on average. */
const CUT_BITS = 7;
const HEAD_UNITS = 48;
const GEAR = Uint32Array.from({ length: 256 }, (_, byte) => mix32(byte + 1));

/**
 * Cuts prompts where their own bytes say so (a gear hash over the last 32), so that the same passage gives the same
 * chunks wherever it stands, and counts chunks that were seen before though what stands before them was not.
 * Linear in the prompts; some 100 bytes per distinct chunk of about 160, at most `maxChunks` of them.
 */
export class MovedTextCollector {
  readonly #maxChunks: number;
  readonly #chunks = new Set<number>();
  readonly #heads = new Set<number>();
  readonly #functions = new Map<string, FunctionLoss>();
  #promptTokens = 0;
  #moved = 0;
  #scratch = Buffer.alloc(1 << 16);

  constructor(maxChunks = 2 ** 20) {
    this.#maxChunks = maxChunks;
  }

  add(trace: Trace): void {
    const events = byTime(trace.events);
    const promptTokens = new Map(
      events.flatMap((event) =>
        event.type === 'LLM_END' && event.usage ? [[event.uuid, event.usage.prompt]] : [],
      ),
    );
    for (const event of events) {
      const text = event.type === 'LLM_START' ? event.inputText : null;
      if (!text) continue;
      const { moved, bytes } = this.#read(event.name, text);
      const tokens = promptTokens.get(event.uuid) || bytes / BYTES_PER_TOKEN;
      this.#promptTokens += tokens;
      this.#count(event.functionName, text, (moved / bytes) * tokens);
    }
  }

  finish(): MovedText {
    let worst: [string, FunctionLoss] | undefined;
    for (const entry of this.#functions) if (entry[1].tokens > (worst?.[1].tokens ?? 0)) worst = entry;
    return {
      tokens: this.#moved,
      share: this.#promptTokens === 0 ? 0 : this.#moved / this.#promptTokens,
      worst: worst && { functionName: worst[0], calls: worst[1].calls, head: worst[1].head },
    };
  }

  #count(functionName: string, text: string, tokens: number): void {
    const loss = this.#functions.get(functionName) ?? { lastPrompt: '', calls: 0, tokens: 0, head: '' };
    this.#functions.set(functionName, loss);
    if (tokens > 0) {
      this.#moved += tokens;
      loss.calls++;
      loss.tokens += tokens;
      loss.head = commonHead(loss.lastPrompt, text);
    }
    loss.lastPrompt = text;
  }

  /** Bytes of a prompt, and how many of them moved. */
  #read(model: string, text: string): { readonly moved: number; readonly bytes: number } {
    if (this.#scratch.length < text.length * 3) this.#scratch = Buffer.alloc(text.length * 6);
    const bytes = this.#scratch.write(text, 'utf8');
    let seed = 0x9e3779b9;
    for (let i = 0; i < model.length; i++) seed = mix32(seed ^ model.charCodeAt(i));
    const own: number[] = [];
    let [moved, from, head] = [0, 0, seed];
    while (from < bytes) {
      const to = this.#cut(from, bytes);
      const chunk = this.#key(seed, from, to);
      head = mix32(head ^ chunk);
      const place = chunk - (chunk % 2 ** 32) + head;
      if (this.#chunks.has(chunk) && !this.#heads.has(place)) moved += to - from;
      own.push(chunk, place);
      from = to;
    }
    // Only then, or a passage that a prompt repeats would count as moved.
    for (let i = 0; i < own.length && this.#chunks.size < this.#maxChunks; i += 2) {
      this.#chunks.add(own[i]!);
      this.#heads.add(own[i + 1]!);
    }
    return { moved, bytes };
  }

  #cut(from: number, bytes: number): number {
    const last = Math.min(bytes, from + MAX_CHUNK);
    let gear = 0;
    for (let at = from; at < last; at++) {
      gear = ((gear << 1) + GEAR[this.#scratch[at]!]!) | 0;
      if (at - from >= MIN_CHUNK && gear >>> (32 - CUT_BITS) === 0) return at + 1;
    }
    return last;
  }

  #key(seed: number, from: number, to: number): number {
    let [low, high] = [seed, ~seed];
    for (let at = from; at < to; at++) {
      low = Math.imul(low ^ this.#scratch[at]!, 0x01000193);
      high = Math.imul(high + this.#scratch[at]!, 0x85ebca6b) ^ (high >>> 13);
    }
    return (mix32(high) & 0x1fffff) * 2 ** 32 + mix32(low);
  }
}

/** The last characters of what two texts begin with. */
function commonHead(a: string, b: string): string {
  let to = 0;
  while (to < a.length && a[to] === b[to]) to++;
  return b.slice(Math.max(0, to - HEAD_UNITS), to);
}
