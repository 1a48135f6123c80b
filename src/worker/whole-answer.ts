import type { KvasirError } from '../base/errors.ts';
import type { AnswerChoice } from '../formats/openai/answer.ts';
import type { ChoiceEnd } from './choice.ts';
import type { GenerationListener } from './generation.ts';

/** Collects an answer that is not streamed; choices in order of their numbers. */
export class WholeAnswer implements GenerationListener {
  /** Undefined once {@link abandon} was called. */
  readonly choices: Promise<readonly AnswerChoice[] | undefined>;
  readonly #texts: string[];
  readonly #ids: number[][];
  readonly #ends: AnswerChoice[] = [];
  #resolve: (choices: readonly AnswerChoice[] | undefined) => void = () => {};
  #reject: (error: KvasirError) => void = () => {};

  /** `prefixes` begin the text of each choice. */
  constructor(prefixes: readonly string[]) {
    this.#texts = [...prefixes];
    this.#ids = prefixes.map(() => []);
    this.choices = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Output tokens of each choice. */
  get ids(): readonly (readonly number[])[] {
    return this.#ids;
  }

  text(index: number, text: string, _tokens: number, ids: readonly number[]): void {
    this.#texts[index] += text;
    this.#ids[index]!.push(...ids);
  }

  end(index: number, text: string, { reason, stop, ids }: ChoiceEnd): void {
    this.#ids[index]!.push(...ids);
    this.#ends[index] = { text: this.#texts[index]! + text, finishReason: reason, stop };
  }

  done(): void {
    this.#resolve(this.#ends);
  }

  failed(error: KvasirError): void {
    this.#reject(error);
  }

  /** Nobody wants it any more. */
  abandon(): void {
    this.#resolve(undefined);
  }
}
