/** What the scanner hands over; texts are JSON, not yet parsed. `line` counts from 1. */
export interface ScanHandler {
  /** A list of events begins: directly under the top list, or as `intermediate_steps` of an object. */
  openList(insideObject: boolean): void;
  /** One element of such a list, or of a top-level list of scalars. */
  element(text: string, line: number): void;
  closeList(): void;
  /** An object directly at the top or in the top list, its members apart; steps came as a list before. */
  object(members: ReadonlyMap<string, string>, line: number): void;
  /** The top-level list ended. */
  closeTop(): void;
  /** Something that is not JSON; the scanner goes on after it where it can. */
  fault(line: number, reason: string): void;
}

const STEPS = 'intermediate_steps';
const [QUOTE, BACKSLASH, COMMA, COLON] = [34, 92, 44, 58];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT, NEWLINE] = [91, 93, 123, 125, 10];
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];
const MAX_VALUE_BYTES = 2 ** 29 - 2 ** 20;

type Container = 'top' | 'outer' | 'list' | 'object';

/**
 * Splits a JSON text of requests into events without holding more than one of them: O(bytes), and memory of
 * the largest event. Several top-level values may follow each other. After a broken value it goes on at the
 * next line that begins with a value at the same column, so that one broken event costs one event.
 */
export class JsonScanner {
  readonly #handler: ScanHandler;
  readonly #decoder = new TextDecoder();
  readonly #containers: Container[] = ['top'];
  #members = new Map<string, string>();
  #objectLine = 0;
  #key: string | undefined;
  #afterColon = false;
  // The value being captured: its bytes so far, its open brackets, and where it began.
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #inValue = false;
  #scalar = false;
  #inString = false;
  #escaped = false;
  #brackets: number[] = [];
  #previous = 0;
  #valueLine = 0;
  #column = 0;
  #line = 1;
  #lineStart = 0;
  #lineBlank = true;
  // Whether the chunks before this one had nothing of the present line but blanks.
  #cutInBlank = true;
  #offset = 0;
  #resync = false;

  constructor(handler: ScanHandler) {
    this.#handler = handler;
  }

  push(chunk: Uint8Array): void {
    let i = 0;
    while (i < chunk.length) {
      if (this.#resync) i = this.#skipToValue(chunk, i);
      else if (this.#inValue) {
        const end = this.#scanValue(chunk, i);
        if (end < 0) {
          this.#keep(chunk.slice(i));
          i = chunk.length;
        } else {
          if (!this.#resync) this.#keep(chunk.subarray(i, end));
          if (!this.#resync) this.#finishValue();
          i = end;
        }
      } else i = this.#between(chunk, i);
    }
    this.#cutInBlank = this.#isFirstOfLine(chunk, chunk.length);
    this.#offset += chunk.length;
  }

  /** Tells of whatever the text left open. */
  end(): void {
    if (this.#inValue && this.#scalar && !this.#inString) this.#finishValue();
    else if (this.#inValue) this.#handler.fault(this.#valueLine, 'the file ends inside this value');
    else if (this.#containers.length > 1)
      this.#handler.fault(this.#line, 'the file ends before its lists are closed');
    while (this.#containers.length > 1) this.#close(this.#containers.at(-1)!, true);
  }

  #keep(piece: Uint8Array): void {
    this.#pieceBytes += piece.length;
    if (this.#pieceBytes > MAX_VALUE_BYTES) this.#broken(`this value exceeds ${MAX_VALUE_BYTES} bytes`);
    else this.#pieces.push(piece);
  }

  /** Handles one byte outside any value; returns the next position. */
  #between(chunk: Uint8Array, i: number): number {
    const byte = chunk[i]!;
    if (byte === NEWLINE) this.#newline(i);
    if (byte <= 32 || byte === COMMA || byte === BYTE_ORDER_MARK[this.#offset + i]) return i + 1;
    const container = this.#containers.at(-1)!;
    if (byte === COLON) {
      if (container !== 'object' || this.#key === undefined || this.#afterColon)
        return this.#broken('a colon without a name', i);
      this.#afterColon = true;
      return i + 1;
    }
    if (byte === CLOSE_LIST && (container === 'outer' || container === 'list')) this.#close(container, false);
    else if (byte === CLOSE_OBJECT && container === 'object') this.#close(container, false);
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT)
      this.#handler.fault(this.#line, 'a bracket closes nothing');
    else if (container === 'object') return this.#member(chunk, i);
    else if (container === 'list') return this.#beginValue(chunk, i);
    else if (byte === OPEN_LIST) this.#open(container === 'top' ? 'outer' : 'list');
    else if (byte === OPEN_OBJECT) {
      this.#markColumn(i);
      this.#objectLine = this.#line;
      this.#containers.push('object');
    } else return this.#beginValue(chunk, i);
    this.#lineBlank = false;
    return i + 1;
  }

  #open(container: 'outer' | 'list'): void {
    if (container === 'list') this.#handler.openList(this.#containers.at(-1) === 'object');
    this.#containers.push(container);
  }

  #member(chunk: Uint8Array, i: number): number {
    const byte = chunk[i]!;
    if (this.#key === undefined && byte !== QUOTE) {
      this.#broken('a member without a name');
      return i;
    }
    if (this.#key !== undefined && !this.#afterColon) {
      this.#broken(`no colon after ${JSON.stringify(this.#key)}`);
      return i;
    }
    if (this.#key === STEPS && byte === OPEN_LIST) {
      this.#key = undefined;
      this.#afterColon = false;
      this.#members.set(STEPS, '[]');
      this.#open('list');
      return i + 1;
    }
    return this.#beginValue(chunk, i);
  }

  #beginValue(chunk: Uint8Array, i: number): number {
    const byte = chunk[i]!;
    if (this.#containers.at(-1) !== 'object') this.#markColumn(i);
    this.#lineBlank = false;
    this.#inValue = true;
    this.#valueLine = this.#line;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#brackets = [];
    this.#inString = false;
    this.#escaped = false;
    this.#previous = 0;
    this.#scalar = byte !== OPEN_LIST && byte !== OPEN_OBJECT;
    return i;
  }

  #markColumn(i: number): void {
    this.#column = this.#lineBlank ? this.#offset + i - this.#lineStart : -1;
  }

  /** Position after the value, or -1 when it goes on in the next chunk. */
  #scanValue(chunk: Uint8Array, from: number): number {
    const brackets = this.#brackets;
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#inString = false;
          if (brackets.length === 0) return i + 1;
        } else if (byte === NEWLINE)
          return this.#broken('a text is not closed at the end of its line', i, chunk);
        continue;
      }
      if (byte <= 32) {
        if (this.#scalar && (i > from || this.#pieceBytes > 0)) return i;
        if (byte === NEWLINE) this.#newline(i);
        continue;
      }
      if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
        if (brackets.at(-1) === CLOSE_OBJECT && this.#previous !== COLON)
          return this.#broken('a member without a name', i, chunk);
        brackets.push(byte + 2);
        this.#previous = byte;
      } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
        if (brackets.length === 0) return i;
        if (brackets.pop() !== byte) return this.#broken('a bracket closes another kind', i, chunk);
        if (brackets.length === 0) return i + 1;
        this.#previous = byte;
      } else if (byte === COMMA || byte === COLON) {
        if (brackets.length === 0) return i;
        this.#previous = byte;
      }
    }
    return -1;
  }

  #finishValue(): void {
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    const text = this.#decoder.decode(bytes);
    this.#inValue = false;
    this.#pieces = [];
    this.#pieceBytes = 0;
    if (this.#containers.at(-1) !== 'object') this.#handler.element(text, this.#valueLine);
    else if (this.#key === undefined) {
      this.#key = parseKey(text);
    } else {
      this.#members.set(this.#key, text);
      this.#key = undefined;
      this.#afterColon = false;
    }
  }

  #close(container: Container, broken: boolean): void {
    this.#containers.pop();
    if (container === 'list') this.#handler.closeList();
    else if (container === 'outer') this.#handler.closeTop();
    else {
      const members = this.#members;
      this.#members = new Map();
      this.#key = undefined;
      this.#afterColon = false;
      if (!broken || members.has(STEPS)) this.#handler.object(members, this.#objectLine);
    }
  }

  #newline(i: number): void {
    this.#line++;
    this.#lineStart = this.#offset + i + 1;
    this.#lineBlank = true;
  }

  /** Drops the value at hand; what follows is skipped up to the next value at its column. */
  #broken(reason: string, at = 0, chunk?: Uint8Array): number {
    const faultLine = this.#inValue ? this.#valueLine : this.#line;
    this.#handler.fault(faultLine, reason);
    this.#inValue = false;
    this.#inString = false;
    this.#pieces = [];
    this.#pieceBytes = 0;
    if (this.#containers.at(-1) === 'object') {
      this.#containers.pop();
      this.#members = new Map();
      this.#key = undefined;
      this.#afterColon = false;
    }
    this.#resync = true;
    // What breaks a value on a later line may be the beginning of the next one.
    this.#lineBlank = this.#line > faultLine && chunk !== undefined && this.#isFirstOfLine(chunk, at);
    return at;
  }

  /** Whether nothing but blanks stands before a place on its line. */
  #isFirstOfLine(chunk: Uint8Array, at: number): boolean {
    const lineAt = this.#lineStart - this.#offset;
    const isBlank = chunk.subarray(Math.max(0, lineAt), at).every((byte) => byte <= 32);
    return isBlank && (lineAt >= 0 || this.#cutInBlank);
  }

  #skipToValue(chunk: Uint8Array, from: number): number {
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === NEWLINE) this.#newline(i);
      else if (byte > 32 && this.#lineBlank) {
        const column = this.#offset + i - this.#lineStart;
        const opens = byte === OPEN_OBJECT || byte === OPEN_LIST;
        const closes = byte === CLOSE_LIST || byte === CLOSE_OBJECT;
        const known = this.#column >= 0;
        // A brace at the value's own column is its end; a bracket there closes its list.
        const ends =
          closes && known && (column < this.#column || (column === this.#column && byte === CLOSE_LIST));
        if (ends || (opens && (!known || column === this.#column))) {
          this.#resync = false;
          return i;
        }
        this.#lineBlank = false;
      }
    }
    return chunk.length;
  }
}

function parseKey(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
