import { type CachedBlocks, type ChunkFacts, readChunk } from '../openai/answer-chunk.ts';
import { AnswerKeeper, type BegunAnswer } from '../openai/begun-answer.ts';
import type { EngineError } from '../openai/engine-error.ts';
import { type Joining, joinChunk } from '../openai/joined-chunk.ts';
import type { Usage } from '../openai/usage.ts';
import { SSE_DONE, sseFrame } from './frame.ts';

export interface SplitterOptions {
  /** Keeps the chunk that only reports usage from the client, who did not ask for it. */
  readonly stripUsage: boolean;
  /** Keeps from the client the usage on the other chunks. */
  readonly stripContinuous?: boolean;
  /** Keeps from the client the ids of tokens. */
  readonly stripTokenIds?: boolean;
  /**
   * Keeps the answer, so that another engine could go on with it, and withholds an error that need not
   * be the request's; costs a parse of every event.
   */
  readonly keeps?: boolean;
  /** What another engine had done before this one took over: the client sees one answer. */
  readonly continues?: Joining['begun'];
}

const NEWLINE = 10;
const RETURN = 13;
const QUOTE = 34;
const NOTHING = Buffer.alloc(0);
/** How much of the end of an ordinary event must agree for a later one to count as ordinary. */
const TAIL_BYTES = 8;
/** Larger events than this are passed on unread. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024;
const TEXT_FIELD = /"(?:content|text|reasoning_content|reasoning)": ?"(?!")/;

/**
 * Follows the server-sent answer of an engine while its bytes pass through: counts tokens, keeps usage, notices
 * errors and the end. Whole events leave in the order and with the bytes they came in.
 *
 * An error that need not be the request's is withheld, with all after it, while another engine could still take
 * over: when nothing was passed on yet, or the text is kept.
 *
 * Chunks of one answer differ only in their text, so once a chunk with text has been parsed, a later event
 * that begins and ends with the same bytes is one token and is not parsed; every other event is.
 */
export class RelaySplitter {
  readonly #options: SplitterOptions;
  #carry: Buffer = NOTHING;
  #head: Buffer | undefined;
  #tail: Buffer = NOTHING;
  #kept: AnswerKeeper | undefined;
  #passed = false;
  #withheld: Buffer | undefined;

  /** Events seen, the usage chunk and `[DONE]` included. */
  events = 0;
  /** Generated tokens, as far as the events tell: a chunk that does not say otherwise is one. */
  tokens = 0;
  /** Tokens of the first event that had any. */
  firstTokens = 0;
  /** The last usage reported. */
  usage: Usage | undefined;
  /** Choices that have ended. */
  finishes = 0;
  /** The last word on cached blocks, where the engine tells. */
  cachedBlocks: CachedBlocks | undefined;
  /** The first error that the engine sent in its stream. */
  error: EngineError | undefined;
  /** Of an answer that is a response. */
  responseId: string | undefined;
  /** Whether `[DONE]` was seen. */
  done = false;

  constructor(options: SplitterOptions) {
    this.#options = options;
    if (options.keeps === true) this.#kept = new AnswerKeeper();
  }

  /** The answer so far, where it is kept and can be gone on with. */
  get begun(): BegunAnswer | undefined {
    return this.#kept?.begun;
  }

  /** The client was not told of the error, nor of anything after it. */
  get withholds(): boolean {
    return this.#withheld !== undefined;
  }

  /** Takes the next bytes and gives those that may go on; the argument itself if it holds whole events only. */
  push(bytes: Buffer): Buffer {
    const input = this.#carry.length === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    let kept: Buffer[] | undefined;
    let keepFrom = 0;
    let start = 0;
    while (start < input.length) {
      const ordinary = this.#ordinaryEnd(input, start);
      const end = ordinary === -1 ? eventEnd(input, start) : ordinary;
      if (end === -1) break;
      this.events++;
      const replacement = ordinary === -1 ? this.#read(input, start, end) : undefined;
      if (ordinary !== -1) this.#count(1);
      if (replacement !== undefined) {
        kept ??= [];
        kept.push(input.subarray(keepFrom, start), replacement);
        keepFrom = end;
      }
      start = end;
    }
    this.#keep(input, start);
    if (start > 0 && this.#withheld === undefined) this.#passed = true;
    if (kept !== undefined) return Buffer.concat([...kept, input.subarray(keepFrom, start)]);
    return start === input.length ? input : input.subarray(0, start);
  }

  /** What was not passed on, after the last push: an unfinished event, or the error that was withheld. */
  rest(): Buffer {
    const rest = this.#withheld ?? this.#carry;
    this.#carry = NOTHING;
    if (this.#withheld === undefined) return rest;
    this.#withheld = undefined;
    return this.done ? Buffer.concat([rest, Buffer.from(SSE_DONE)]) : rest;
  }

  /** Keeps what follows the last whole event; a copy, as it would pin the whole read of the socket. */
  #keep(input: Buffer, from: number): void {
    if (from === input.length) this.#carry = NOTHING;
    else this.#carry = Buffer.from(input.subarray(from));
  }

  /** End of the event if it looks like the chunks with text before it, else -1. */
  #ordinaryEnd(input: Buffer, start: number): number {
    const head = this.#head;
    if (head === undefined) return -1;
    const textAt = start + head.length;
    if (input.length < textAt + 2 || input[textAt] === QUOTE) return -1;
    if (input.compare(head, 0, head.length, start, textAt) !== 0) return -1;
    const newline = input.indexOf(NEWLINE, textAt);
    if (newline === -1 || input[newline + 1] !== NEWLINE) return -1;
    const tail = this.#tail;
    const tailAt = newline - tail.length;
    if (tailAt <= textAt) return -1;
    for (let i = 0; i < tail.length; i++) if (input[tailAt + i] !== tail[i]) return -1;
    return newline + 2;
  }

  /** Parses one event; gives what goes to the client in its place, if it is not to go as it came. */
  #read(input: Buffer, start: number, end: number): Buffer | undefined {
    const data = eventData(input.toString('utf8', start, end));
    if (data === '[DONE]') {
      this.done = true;
      return this.withholds ? NOTHING : undefined;
    }
    if (this.withholds) return NOTHING;
    const chunk = readChunk(data, this.tokens > 0);
    if (chunk === undefined) return undefined;
    if (chunk.isLast === true) this.done = true;
    this.responseId ??= chunk.responseId;
    const opening = this.tokens === 0 && chunk.tokens === 0 && chunk.choices > 0 && chunk.finishes === 0;
    this.error ??= chunk.error;
    if (this.#mayMend(chunk, start)) {
      this.#withheld = Buffer.from(input.subarray(start, end));
      return NOTHING;
    }
    this.#follow(chunk);
    if (this.#kept !== undefined) this.#kept.add(data, chunk, this.tokens);
    else if (chunk.tokens === 1 && chunk.choices === 1 && chunk.usage === undefined && !this.#rewrites)
      this.#learn(input, start, end);
    return this.#forClient(data, chunk, opening);
  }

  /** Whether every chunk is another one for the client. */
  get #rewrites(): boolean {
    const { stripTokenIds, continues } = this.#options;
    return stripTokenIds === true || continues?.chat !== undefined;
  }

  /** What goes to the client in place of a chunk, if not the chunk. */
  #forClient(data: string, { usage, choices, error }: ChunkFacts, opening: boolean): Buffer | undefined {
    const { stripUsage, stripContinuous = false, stripTokenIds = false, continues } = this.#options;
    if (continues !== undefined && opening) return NOTHING;
    if (stripUsage && usage !== undefined && choices === 0) return NOTHING;
    const strip = stripContinuous && usage !== undefined && choices > 0;
    const joins = usage !== undefined && continues !== undefined;
    if (error !== undefined || !(this.#rewrites || strip || joins)) return undefined;
    const joining = { stripUsage: strip, stripTokenIds, ...(continues && { begun: continues }) };
    return Buffer.from(sseFrame(joinChunk(data, joining)));
  }

  /** Whether it is an error that another engine could still mend, which the client is then not told of. */
  #mayMend({ error }: ChunkFacts, start: number): boolean {
    if (error === undefined || error.fault === 'request') return false;
    return this.#kept !== undefined || this.#isFirst(start);
  }

  /** Whether nothing has left before the event that begins here. */
  #isFirst(start: number): boolean {
    return !this.#passed && start === 0;
  }

  #follow(chunk: ChunkFacts): void {
    if (chunk.usage !== undefined) this.usage = chunk.usage;
    if (chunk.cachedBlocks !== undefined) this.cachedBlocks = chunk.cachedBlocks;
    this.finishes += chunk.finishes;
    const counted = chunk.usage !== undefined && chunk.choices > 0 ? chunk.usage.completionTokens : 0;
    if (counted > this.tokens) this.#count(counted - this.tokens);
    else if (counted === 0) this.#count(chunk.tokens);
  }

  #learn(input: Buffer, start: number, end: number): void {
    const text = input.toString('latin1', start, end);
    const field = TEXT_FIELD.exec(text);
    if (field === null || !text.endsWith('\n\n') || text.indexOf('\n') !== text.length - 2) return;
    this.#head = Buffer.from(input.subarray(start, start + field.index + field[0].length));
    this.#tail = Buffer.from(input.subarray(Math.max(start, end - 2 - TAIL_BYTES), end - 2));
  }

  #count(tokens: number): void {
    if (this.tokens === 0) this.firstTokens = tokens;
    this.tokens += tokens;
  }
}

/** Just after the blank line that ends the event beginning at `start`; -1 if it is not complete. */
function eventEnd(input: Buffer, start: number): number {
  let newline = input.indexOf(NEWLINE, start);
  while (newline !== -1) {
    if (input[newline + 1] === NEWLINE) return newline + 2;
    if (input[newline + 1] === RETURN && input[newline + 2] === NEWLINE) return newline + 3;
    newline = input.indexOf(NEWLINE, newline + 1);
  }
  return input.length - start > MAX_EVENT_BYTES ? input.length : -1;
}

/** The data lines of an event, joined. */
function eventData(event: string): string {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  return lines.map((line) => line.slice(line[5] === ' ' ? 6 : 5)).join('\n');
}
