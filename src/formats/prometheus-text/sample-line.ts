import type { Labels, ParsedExemplar, ParsedSample } from './exposition.ts';
import { readNumber } from './number.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;
const TAB = 0x09;
const COMMA = 0x2c;
const NO_LABELS: Labels = Object.freeze({});
const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^(?!__proto__$)[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Reads sample lines one by one; a name that was valid once is not checked again. */
export class SampleLineReader {
  readonly #openMetrics: boolean;
  readonly #names = new Set<string>();
  readonly #labelNames = new Set<string>();
  #line = '';
  #at = 0;

  constructor(openMetrics: boolean) {
    this.#openMetrics = openMetrics;
  }

  /** The sample, or what is wrong with the line. */
  read(line: string): ParsedSample | string {
    this.#line = line;
    this.#at = endOfName(line);
    const name = line.slice(0, this.#at);
    if (!isKnown(this.#names, METRIC_NAME, name)) return `${JSON.stringify(name)} is not a metric name`;
    this.#at = skipBlanks(line, this.#at);
    const labels = line.charCodeAt(this.#at) === OPEN_BRACE ? this.#labels() : NO_LABELS;
    if (typeof labels === 'string') return labels;
    const hash = this.#openMetrics ? line.indexOf(' # ', this.#at) : -1;
    const point = readPoint(line.slice(this.#at, hash < 0 ? undefined : hash));
    if (typeof point === 'string') return point;
    const { value, stamp } = point;
    const timestampMs = this.#openMetrics && stamp !== undefined ? stamp * 1000 : stamp;
    if (hash < 0) return { name, labels, value, timestampMs };
    this.#at = hash + ' # '.length;
    const exemplar = this.#exemplar();
    return typeof exemplar === 'string' ? exemplar : { name, labels, value, timestampMs, exemplar };
  }

  #exemplar(): ParsedExemplar | string {
    if (this.#line.charCodeAt(this.#at) !== OPEN_BRACE) return 'an exemplar begins with its labels';
    const labels = this.#labels();
    if (typeof labels === 'string') return `in the exemplar, ${labels}`;
    const point = readPoint(this.#line.slice(this.#at));
    if (typeof point === 'string') return `in the exemplar, ${point}`;
    return { labels, value: point.value, timestampS: point.stamp };
  }

  /** Reads `{...}` at the cursor, which is left behind the closing brace. */
  #labels(): Labels | string {
    const line = this.#line;
    const labels: Record<string, string> = {};
    let at = skipSeparators(line, this.#at + 1);
    while (line.charCodeAt(at) !== CLOSE_BRACE) {
      const equals = line.indexOf('=', at);
      if (equals < 0) return 'the label set is not closed';
      const raw = line.slice(at, equals);
      const name = this.#labelNames.has(raw) ? raw : raw.trim();
      if (!isKnown(this.#labelNames, LABEL_NAME, name)) return `${JSON.stringify(name)} is not a label name`;
      const open = skipBlanks(line, equals + 1);
      if (line.charCodeAt(open) !== QUOTE) return `the value of label ${name} is not quoted`;
      const close = closingQuote(line, open + 1);
      if (close < 0) return `the value of label ${name} is not closed`;
      if (typeof labels[name] === 'string') return `label ${name} is given twice`;
      labels[name] = unescapeValue(line.slice(open + 1, close));
      at = skipSeparators(line, close + 1);
    }
    this.#at = at + 1;
    return labels;
  }
}

interface Point {
  readonly value: number;
  readonly stamp: number | undefined;
}

/** A value and perhaps a timestamp; more is an error. */
function readPoint(text: string): Point | string {
  const from = skipBlanks(text, 0);
  const plain = from < text.length ? readNumber(text.slice(from)) : undefined;
  if (plain !== undefined) return { value: plain, stamp: undefined };
  const fields = text.split(/[ \t]+/).filter((field) => field !== '');
  const value = readNumber(fields[0] ?? '');
  if (value === undefined) return `${JSON.stringify(fields[0] ?? '')} is not a number`;
  if (fields.length > 2) return `${JSON.stringify(fields[2])} stands after the value and its timestamp`;
  const stamp = fields[1] === undefined ? undefined : readNumber(fields[1]);
  if (fields[1] !== undefined && stamp === undefined)
    return `${JSON.stringify(fields[1])} is not a timestamp`;
  return { value, stamp };
}

function isKnown(known: Set<string>, pattern: RegExp, name: string): boolean {
  if (known.has(name)) return true;
  if (!pattern.test(name)) return false;
  known.add(name);
  return true;
}

function endOfName(line: string): number {
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code === OPEN_BRACE || code === SPACE || code === TAB) return at;
  }
  return line.length;
}

function skipBlanks(line: string, from: number): number {
  let at = from;
  for (let code = line.charCodeAt(at); code === SPACE || code === TAB; code = line.charCodeAt(at)) at++;
  return at;
}

function skipSeparators(line: string, from: number): number {
  let at = from;
  for (let code = line.charCodeAt(at); code === SPACE || code === TAB || code === COMMA; ) {
    at++;
    code = line.charCodeAt(at);
  }
  return at;
}

function closingQuote(line: string, from: number): number {
  let close = line.indexOf('"', from);
  while (close >= 0 && isEscaped(line, close)) close = line.indexOf('"', close + 1);
  return close;
}

function isEscaped(line: string, at: number): boolean {
  let backslashes = 0;
  while (line.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

/** `\\`, `\"` and `\n`; any other backslash stands for itself. */
export function unescapeValue(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\([\\"n])/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}
