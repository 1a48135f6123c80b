/** How the agents' hints are told apart: output length, and time between calls. */
export type Level = 'LOW' | 'MEDIUM' | 'HIGH';

const DECODE_COST: Readonly<Record<Level, number>> = { LOW: 1, MEDIUM: 2, HIGH: 3 };
// Rapid calls make a session stick more.
const IAT_FACTOR: Readonly<Record<Level, number>> = { LOW: 1.5, MEDIUM: 1, HIGH: 0.6 };

/** The three words in any case; anything else, numbers included, is MEDIUM. */
export function levelOf(word: unknown): Level {
  const upper = typeof word === 'string' ? word.trim().toUpperCase() : '';
  return upper === 'LOW' || upper === 'HIGH' ? upper : 'MEDIUM';
}

/** Level of an expected output length in tokens, or of the word itself. */
export function outputLevel(hint: string | number | undefined): Level {
  return levelByLimit(hint, 256, 1024);
}

/** Level of an expected time between calls in milliseconds, or of the word itself. */
export function interarrivalLevel(hint: string | number | undefined): Level {
  return levelByLimit(hint, 100, 500);
}

export function decodeCost(level: Level): number {
  return DECODE_COST[level];
}

export function iatFactor(level: Level): number {
  return IAT_FACTOR[level];
}

/** Level of a prefill cost. */
export function prefillLevel(cost: number): Level {
  if (cost < 0.25) return 'LOW';
  return cost < 0.75 ? 'MEDIUM' : 'HIGH';
}

function levelByLimit(hint: string | number | undefined, medium: number, high: number): Level {
  const text = String(hint ?? '').trim();
  if (/^(low|medium|high)$/i.test(text)) return levelOf(text);
  // The reference reads floats, for which "nan" is neither below one limit nor below the other.
  const special = /^[+-]?(nan|inf(inity)?)$/i.test(text);
  if (special) return text.startsWith('-') && !/nan/i.test(text) ? 'LOW' : 'HIGH';
  const value = text === '' ? Number.NaN : Number(text);
  if (Number.isNaN(value)) return 'MEDIUM';
  if (value < medium) return 'LOW';
  return value < high ? 'MEDIUM' : 'HIGH';
}
