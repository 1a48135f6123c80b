import { readTrie } from '../agent-profiler/trie/trie-file.ts';
import { lookUp } from '../agent-profiler/trie/trie-node.ts';
import type { AgentHintOptions } from '../frontend/agent-hints.ts';
import { readText } from './read-text.ts';

/** Predictions of a prediction_trie.json, as the frontend asks for them. Throws for a file that is none. */
export async function readPredictions(path: string): Promise<NonNullable<AgentHintOptions['predict']>> {
  const root = readTrie(await readText(path), path);
  return (functions, callIndex) => {
    const found = lookUp(root, functions, callIndex);
    if (found === undefined) return undefined;
    const { remainingCalls, interarrivalMs, outputTokens, latencySensitivity } = found;
    // The reference's client sends whole numbers, and nothing where they come to less than one.
    const whole = (value: number): number | undefined => (value >= 1 ? Math.trunc(value) : undefined);
    return {
      remainingCalls: Math.trunc(remainingCalls.mean),
      interarrivalMs: whole(interarrivalMs.mean),
      outputTokens: whole(outputTokens.p90),
      latencySensitivity,
    };
  };
}
