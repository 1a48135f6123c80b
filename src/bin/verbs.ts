import { closest } from '../base/settings.ts';
import type { Command } from '../commands/command.ts';

interface Verb {
  readonly summary: string;
  load(): Promise<Command>;
}

/** Every command; its module is loaded only when it runs, so that help is instant. */
export const VERBS: Readonly<Record<string, Verb>> = {};

export function closestVerb(word: string): string | undefined {
  return closest(word, Object.keys(VERBS));
}
