import { z } from 'zod';

const MAX_TOKEN_ID = 2 ** 32 - 1;
const TEXTS = { type: 'array', items: { type: 'string' }, minItems: 1 };
const IDS = {
  type: 'array',
  items: { type: 'integer', minimum: 0, maximum: MAX_TOKEN_ID },
  minItems: 1,
};

/** A text or the tokens of one, or several of either. */
export type CompletionPrompt = string | string[] | number[] | number[][];

interface Flaw {
  readonly path: PropertyKey[];
  readonly message: string;
}

// Prompts have thousands of tokens, so they are looked through by loops: a union of zod's arrays makes an object for each
// token of each form that a prompt does not have, tens of milliseconds in all.

/** Token ids of one text: `fewest` of them, or more. */
export function tokenIdsSchema(fewest: 0 | 1): z.ZodType<number[]> {
  return z
    .custom<number[]>()
    .superRefine((ids, context) => report(flawOfIds(ids, fewest), context))
    .meta({ ...IDS, minItems: fewest });
}

export const completionPromptSchema = z
  .custom<CompletionPrompt>()
  .superRefine((prompt, context) => report(flawOfPrompt(prompt), context))
  .meta({ anyOf: [{ type: 'string' }, TEXTS, IDS, { type: 'array', items: IDS, minItems: 1 }] });

function report(flaw: Flaw | undefined, context: z.RefinementCtx): void {
  if (flaw !== undefined) context.addIssue({ code: 'custom', ...flaw });
}

function flawOfPrompt(prompt: unknown): Flaw | undefined {
  if (typeof prompt === 'string') return undefined;
  if (!Array.isArray(prompt))
    return { path: [], message: 'has a wrong type: give a text, token ids, or a list of either' };
  const [first] = prompt;
  if (typeof first === 'string') return flawOfTexts(prompt);
  return Array.isArray(first) ? flawOfLists(prompt) : flawOfIds(prompt);
}

function flawOfTexts(texts: readonly unknown[]): Flaw | undefined {
  const at = texts.findIndex((text) => typeof text !== 'string');
  return at < 0 ? undefined : { path: [at], message: 'is no text, unlike the first' };
}

function flawOfLists(lists: readonly unknown[]): Flaw | undefined {
  for (const [at, list] of lists.entries()) {
    const flaw = flawOfIds(list);
    if (flaw !== undefined) return { ...flaw, path: [at, ...flaw.path] };
  }
  return undefined;
}

function flawOfIds(ids: unknown, fewest = 1): Flaw | undefined {
  if (!Array.isArray(ids)) return { path: [], message: 'is no list of token ids' };
  if (ids.length < fewest) return { path: [], message: 'is empty' };
  const at = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id <= MAX_TOKEN_ID));
  return at < 0 ? undefined : { path: [at], message: `is no token id (0 to ${MAX_TOKEN_ID})` };
}
