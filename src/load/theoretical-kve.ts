import type { LoadPlan, PromptPlan } from './plan.ts';

/**
 * Share of the plan's prompt tokens that an infinite cache shared by all workers would have held: leading blocks seen
 * in earlier requests. Engines report less: whole blocks only, and never the last token.
 */
export function theoreticalKve(plan: LoadPlan): number | undefined {
  const seen = new Map<number, number>();
  let reused = 0;
  let tokens = 0;
  for (const session of plan.sessions) {
    for (const { request } of session.turns) {
      if (request.phase === 'measure') tokens += request.inputLength;
      const held = leadingTokens(request.prompt, request.inputLength, seen);
      if (request.phase === 'measure') reused += held;
    }
  }
  return tokens > 0 ? reused / tokens : undefined;
}

/** Tokens of the prompt's leading parts that were seen before; marks all its parts as seen. */
function leadingTokens(prompt: PromptPlan, inputLength: number, seen: Map<number, number>): number {
  let held = 0;
  let at = 0;
  let leads = true;
  for (const { id, length } of partsOf(prompt, inputLength)) {
    const known = seen.get(id) ?? 0;
    if (leads) held += Math.min(known, length);
    leads &&= known >= length;
    seen.set(id, Math.max(known, length));
    at += length;
  }
  return Math.min(held, at);
}

function* partsOf(
  prompt: PromptPlan,
  inputLength: number,
): Generator<{ readonly id: number; readonly length: number }> {
  if (prompt.kind === 'parts') yield* prompt.parts;
  if (prompt.kind !== 'blocks') return;
  const { ids, blockSize } = prompt;
  for (let block = 0; block < ids.length; block++) {
    yield { id: ids[block]!, length: Math.min(blockSize, inputLength - block * blockSize) };
  }
}
