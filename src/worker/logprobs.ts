import { hash32 } from '../base/random.ts';
import type { AnswerKind } from '../formats/openai/answer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Which log probabilities a request asks for. */
export interface LogprobsRequest {
  /** Alternatives beside each token; 0 for none. */
  readonly top: number;
}

interface Candidate {
  readonly id: number;
  readonly logprob: number;
}

/**
 * Log probabilities of one choice, token by token, in the shape of either API. A simulated model has none: these are
 * drawn, so that a token and its alternatives are a plausible distribution, and the same each time.
 */
export class LogprobsWriter {
  readonly #kind: AnswerKind;
  readonly #tokenizer: Tokenizer;
  readonly #top: number;
  readonly #fromStart: boolean;
  /** Tokens and characters written so far. */
  #tokens = 0;
  #offset = 0;

  /** `fromStart`: the first tokens are those of the prompt, whose first one follows nothing and has none. */
  constructor(kind: AnswerKind, { top }: LogprobsRequest, tokenizer: Tokenizer, fromStart: boolean) {
    this.#kind = kind;
    this.#tokenizer = tokenizer;
    this.#top = top;
    this.#fromStart = fromStart;
  }

  /** Of the next tokens. */
  write(ids: readonly number[]): object {
    const first = this.#fromStart && this.#tokens === 0;
    const candidates = ids.map((id) => this.#candidates(id));
    return this.#kind === 'chat' ? this.#chat(candidates) : this.#completion(candidates, first);
  }

  #chat(tokens: readonly Candidate[][]): object {
    const shown = ({ id, logprob }: Candidate) => {
      const token = this.#text(id);
      return { token, logprob, bytes: [...new TextEncoder().encode(token)] };
    };
    return {
      content: tokens.map((candidates) => ({
        ...shown(candidates[0]!),
        top_logprobs: candidates.slice(0, this.#top).map(shown),
      })),
    };
  }

  #completion(tokens: readonly Candidate[][], first: boolean): object {
    const texts = tokens.map(([chosen]) => this.#text(chosen!.id));
    const none = (i: number): boolean => first && i === 0;
    return {
      text_offset: texts.map((text) => {
        const at = this.#offset;
        this.#offset += text.length;
        return at;
      }),
      token_logprobs: tokens.map(([chosen], i) => (none(i) ? null : chosen!.logprob)),
      tokens: texts,
      top_logprobs: tokens.map((candidates, i) =>
        none(i) || this.#top === 0
          ? null
          : Object.fromEntries(
              candidates.slice(0, this.#top).map(({ id, logprob }) => [this.#text(id), logprob]),
            ),
      ),
    };
  }

  /** The token itself with most of the probability, then others, each half as likely as the one before. */
  #candidates(chosen: number): Candidate[] {
    const place = this.#tokens++;
    let share = 0.5 + hash32(chosen, place, 5) / 2 ** 33;
    let rest = 1 - share;
    const candidates = [{ id: chosen, logprob: Math.log(share) }];
    for (let i = 1; i < this.#top; i++) {
      share = rest / 2;
      rest -= share;
      const id =
        (chosen + 1 + (hash32(chosen, place, 5 + i) % (this.#tokenizer.vocabSize - 1))) %
        this.#tokenizer.vocabSize;
      candidates.push({ id, logprob: Math.log(share) });
    }
    return candidates;
  }

  #text(id: number): string {
    return this.#tokenizer.decode([id]);
  }
}
