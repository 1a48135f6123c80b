import { getOrMake } from './column.ts';

const WINDOW = 32;
const BASE = 0x01000193;

/**
 * Which of the texts lie inside another, longer one (anywhere). Texts are distinct. Rolling hashes over their
 * last bytes, each hit compared: about linear in the bytes, where comparing every pair is quadratic.
 */
export function containedTexts(texts: readonly Buffer[]): readonly boolean[] {
  const inside = texts.map((text) => text.length === 0);
  const byWindow = new Map<number, number[]>();
  for (const [i, text] of texts.entries()) {
    if (text.length === 0) continue;
    const window = Math.min(WINDOW, text.length);
    getOrMake(byWindow, window, () => []).push(i);
  }
  for (const [window, members] of byWindow) markContained(texts, members, window, inside);
  return inside;
}

function markContained(
  texts: readonly Buffer[],
  members: readonly number[],
  window: number,
  inside: boolean[],
): void {
  // Tail hash -> texts by length: at one place at most one text of a length can end.
  const tails = new Map<number, Map<number, number[]>>();
  const filter = new Uint8Array(1 << 16);
  for (const i of members) {
    const text = texts[i]!;
    const hash = hashOf(text, text.length - window, text.length);
    filter[hash & 0xffff] = 1;
    const lengths = getOrMake(tails, hash, () => new Map<number, number[]>());
    getOrMake(lengths, text.length, () => []).push(i);
  }
  let top = 1;
  for (let i = 1; i < window; i++) top = Math.imul(top, BASE);
  for (const text of texts) {
    let hash = hashOf(text, 0, Math.min(window, text.length));
    for (let end = window; end <= text.length; end++) {
      if (filter[hash & 0xffff] === 1) markAt(text, end, tails.get(hash), texts, inside);
      hash = (Math.imul(hash - Math.imul(text[end - window]!, top), BASE) + (text[end] ?? 0)) | 0;
    }
  }
}

function markAt(
  text: Buffer,
  end: number,
  lengths: Map<number, number[]> | undefined,
  texts: readonly Buffer[],
  inside: boolean[],
): void {
  if (lengths === undefined) return;
  for (const [length, candidates] of lengths) {
    if (length > end || length >= text.length) continue;
    for (const i of candidates)
      if (!inside[i] && text.compare(texts[i]!, 0, length, end - length, end) === 0) inside[i] = true;
  }
}

function hashOf(text: Buffer, from: number, to: number): number {
  let hash = 0;
  for (let i = from; i < to; i++) hash = (Math.imul(hash, BASE) + text[i]!) | 0;
  return hash;
}
