import type { Clock } from '../base/clock.ts';
import { fail, type KvasirError } from '../base/errors.ts';
import { hash32 } from '../base/random.ts';
import { TokenPrompt } from '../engine/prompt.ts';
import type { SimulatedEngine } from '../engine/simulated-engine.ts';
import type { Usage } from '../formats/openai/usage.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { sayIn } from './answer-form.ts';
import {
  type AnswerLength,
  answerLength,
  answerTokens,
  type PlannedAnswer,
  spokenAnswer,
} from './answer-plan.ts';
import { Choice, type ChoiceEnd, type ChoiceListener, type ChoiceObserver } from './choice.ts';
import type { GenerationRequest } from './generation-request.ts';
import { transferMs } from './handoff.ts';
import { StopMatcher } from './stop-matcher.ts';
import type { Transfer } from './transfer-meter.ts';

/** What all generations of one worker share. */
export interface GenerationParts {
  readonly engine: SimulatedEngine;
  readonly clock: Clock;
  readonly tokenizer: Tokenizer;
  readonly hasher: BlockHasher;
  readonly contextLength: number;
  /** What the KV blocks of a rank hold. */
  readonly poolTokens: number;
  readonly meanAnswerTokens: number;
  /** Makes answers of otherwise equal workers differ. */
  readonly seed: number;
  /** A name that no request in flight has. */
  readonly nextId: () => string;
  /** Picks the rank of a request that names none. */
  readonly nextRank: () => number;
  readonly observerOf: (dpRank: number) => ChoiceObserver;
  /** Told of every choice that is over, also those that failed or were dropped (then `end` is undefined). */
  readonly onChoiceOver: (over: ChoiceOver) => void;
  /** Told of every prompt that was, or should have been, fetched from another engine. */
  readonly onTransfer: (transfer: Transfer) => void;
}

export interface ChoiceOver {
  readonly choice: Choice;
  readonly promptTokens: number;
  readonly dpRank: number;
  readonly arrivalMs: number;
  readonly end: ChoiceEnd | undefined;
}

/** Takes the progress of all choices; `done` or `failed` comes once, last, unless it was cancelled. */
export interface GenerationListener {
  text(index: number, text: string, tokens: number, ids: readonly number[]): void;
  end(index: number, text: string, end: ChoiceEnd): void;
  done(): void;
  failed(error: KvasirError): void;
}

/** Answers are decided when they are asked for, so this bounds what one request can take. */
const MAX_PLANNED_TOKENS = 2 ** 22;

/** What will be said to one prompt. */
interface Plan {
  readonly key: number;
  readonly length: AnswerLength;
  /** Of each choice, where it has a form; free text is made when it is submitted. */
  readonly said: readonly Said[] | undefined;
}

interface Said extends PlannedAnswer {
  readonly tool?: string | undefined;
}

interface Member {
  readonly id: string;
  /** Called by the choice. */
  readonly tool: string | undefined;
  readonly promptTokens: number;
  readonly dpRank: number;
  readonly choice: Choice;
}

/** One request with all its choices inside the engine. */
export class Generation implements ChoiceListener {
  readonly #parts: GenerationParts;
  readonly #request: GenerationRequest;
  readonly #listener: GenerationListener;
  readonly #arrivalMs: number;
  readonly #members: Member[] = [];
  #open = 0;
  #cancelTransfer: () => void = () => {};
  #over = false;

  /** Throws what is wrong with the request before the engine sees any of it. */
  constructor(
    parts: GenerationParts,
    request: GenerationRequest,
    listener: GenerationListener,
    arrivalMs: number,
  ) {
    this.#parts = parts;
    this.#request = request;
    this.#listener = listener;
    this.#arrivalMs = arrivalMs;
    const plans = request.prompts.map((prompt) => this.#plan(prompt));
    checkPlanned(request.choices * sum(plans.map(({ length }) => length.tokens)));
    const submit = (): void => {
      for (const [i, prompt] of request.prompts.entries()) this.#submit(prompt, plans[i]!);
    };
    const delayMs = sum(request.prompts.map((prompt) => this.#transferMs(prompt)));
    if (delayMs > 0) this.#awaitTransfer(delayMs, submit);
    else submit();
  }

  /** Prompt tokens count once per prompt; cached ones are those of its first choice. */
  usage(): Usage {
    const { choices, prompts } = this.#request;
    const firsts = prompts.map((_, i) => this.#members[i * choices]!.choice.cachedTokens ?? 0);
    return {
      promptTokens: sum(prompts.map((prompt) => prompt.length)),
      completionTokens: sum(this.#members.map(({ choice }) => choice.tokenCount)),
      cachedTokens: sum(firsts),
    };
  }

  promptTokensOf(index: number): number {
    return this.#members[index]!.promptTokens;
  }

  /** The tool that a choice calls: its text is then the call's arguments. */
  toolOf(index: number): string | undefined {
    return this.#members[index]!.tool;
  }

  /** Takes everything back from the engine; the listener hears no more. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTransfer();
    for (const member of this.#members) {
      if (member.choice.ended) continue;
      this.#parts.engine.cancel(member.id);
      this.#tellOver(member, undefined);
    }
  }

  text(index: number, text: string, tokens: number, ids: readonly number[]): void {
    if (!this.#over) this.#listener.text(index, text, tokens, ids);
  }

  end(index: number, text: string, end: ChoiceEnd): void {
    if (this.#over) return;
    this.#tellOver(this.#members[index]!, end);
    this.#open--;
    if (this.#request.maxTokens === 0) this.#listener.end(index, '', { ...end, ids: [] });
    else this.#listener.end(index, text, end);
    if (this.#open > 0) return;
    this.#over = true;
    this.#listener.done();
  }

  failed(index: number, error: KvasirError): void {
    if (this.#over) return;
    this.#tellOver(this.#members[index]!, undefined);
    this.cancel();
    this.#listener.failed(error);
  }

  /** How long what another engine has computed of a prompt is under way. */
  #transferMs(prompt: Uint32Array): number {
    if (this.#request.handoff !== 'destination') return 0;
    const { transfer, speedupRatio } = this.#parts.engine.settings;
    return transferMs(prompt.length, transfer) / (speedupRatio || 1);
  }

  #awaitTransfer(delayMs: number, submit: () => void): void {
    const { clock } = this.#parts;
    const cancel = clock.at(clock.nowMs() + delayMs, () => {
      this.#cancelTransfer = () => {};
      submit();
    });
    this.#cancelTransfer = () => {
      cancel();
      for (const prompt of this.#request.prompts)
        this.#tellTransfer(prompt, this.#request.dpRank ?? 0, false);
    };
  }

  #tellTransfer(prompt: Uint32Array, dpRank: number, arrived: boolean): void {
    if (this.#request.handoff !== 'destination') return;
    const durationMs = this.#transferMs(prompt);
    this.#parts.onTransfer({ dpRank, tokens: prompt.length, durationMs, arrived });
  }

  #plan(prompt: Uint32Array): Plan {
    const { hasher, seed, contextLength, poolTokens, meanAnswerTokens: meanTokens, tokenizer } = this.#parts;
    const bytes = new Uint8Array(prompt.buffer, prompt.byteOffset, prompt.byteLength);
    const content = Number(hasher.hashBytes(bytes, 0n) & 0xffffffffn);
    const key = hash32(seed, content, this.#request.seed);
    const { maxTokens, minTokens, ignoreEos, form, choices } = this.#request;
    const limits = {
      promptTokens: prompt.length,
      // A prompt is read by generating one token.
      maxTokens: maxTokens === 0 ? 1 : maxTokens,
      minTokens,
      ignoreEos,
      contextLength,
      poolTokens,
      meanTokens,
    };
    const length = answerLength(key, limits);
    if (form.kind === 'text') return { key, length, said: undefined };
    const said = Array.from({ length: choices }, (_, i) => {
      const { text, tool } = sayIn(form, hash32(key, i, 2));
      return { ...spokenAnswer(text, limits, tokenizer), tool };
    });
    return { key, length, said };
  }

  #submit(prompt: Uint32Array, plan: Plan): void {
    const { engine, tokenizer, nextId, nextRank, observerOf } = this.#parts;
    const { choices, namespace, stops, includeStop, minTokens } = this.#request;
    // All choices of a prompt go to one rank, where the later ones find what the first computed.
    const dpRank = this.#request.dpRank ?? nextRank();
    this.#tellTransfer(prompt, dpRank, true);
    const shared = new TokenPrompt(prompt, namespace);
    // A stopping engine refuses at once, which ends the generation while it is still being submitted.
    for (let i = 0; i < choices && !this.#over; i++) {
      const id = nextId();
      const said: Said = plan.said?.[i] ?? {
        length: plan.length,
        tokens: answerTokens(hash32(plan.key, i, 2), plan.length, tokenizer),
      };
      const { length, tool, tokens: plannedTokens } = said;
      const choice = new Choice({
        index: this.#members.length,
        promptTokens: prompt.length,
        arrivalMs: this.#arrivalMs,
        observer: observerOf(dpRank),
        length,
        minTokens,
        decoder: tokenizer.decodeStream(),
        stops: new StopMatcher(stops, includeStop),
        listener: this,
        cancel: () => void engine.cancel(id),
      });
      this.#members.push({ id, tool, promptTokens: prompt.length, dpRank, choice });
      this.#open++;
      engine.submit({ id, prompt: shared, maxOutputTokens: length.tokens, plannedTokens, dpRank }, choice);
    }
  }

  #tellOver({ choice, promptTokens, dpRank }: Member, end: ChoiceEnd | undefined): void {
    this.#parts.onChoiceOver({ choice, promptTokens, dpRank, arrivalMs: this.#arrivalMs, end });
  }
}

function checkPlanned(tokens: number): void {
  if (tokens <= MAX_PLANNED_TOKENS) return;
  const reason = `n: ${tokens} tokens of all answers together exceed ${MAX_PLANNED_TOKENS}`;
  throw fail('KV_REQUEST_INVALID', { param: 'n', reason, mend: 'Ask for fewer or shorter answers.' });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
