import type { Trace } from '../input/event.ts';
import type { ReadRequest } from '../input/trace-reader.ts';
import {
  evaluateTrace,
  evaluateTrajectory,
  type RuntimeEvaluations,
  roundTo,
  type StepStart,
} from './evaluators.ts';

/** The run-time evaluators by the toolkit's names. */
export const EVALUATORS = [
  'avg_llm_latency',
  'avg_workflow_runtime',
  'avg_num_llm_calls',
  'avg_tokens_per_llm_end',
] as const;

export type EvaluatorType = (typeof EVALUATORS)[number];

/** Which evaluator runs under which name; the name makes the file `NAME_output.json`. */
export type EvaluatorChoice = Readonly<Record<string, EvaluatorType>>;

/** One evaluator's verdicts on all items, as the toolkit writes them. */
export interface EvaluatorOutput {
  /** Null without items. */
  readonly average_score: number | null;
  readonly eval_output_items: readonly {
    /** The item's own, or its place in the input. */
    readonly id: string | number;
    readonly score: number;
    readonly reasoning: Readonly<Record<string, unknown>>;
  }[];
}

/**
 * Scores each request with the evaluators chosen; one that was read from a trajectory, by the trajectory's own rules.
 * Keeps the verdicts of each request, of the evaluators chosen only.
 */
export class RuntimeEvaluationCollector {
  readonly #choice: EvaluatorChoice;
  readonly #stepStart: StepStart;
  readonly #types: readonly EvaluatorType[];
  readonly #items: { readonly id: string | number; readonly verdicts: Partial<RuntimeEvaluations> }[] = [];

  constructor(choice: EvaluatorChoice, stepStart: StepStart) {
    this.#choice = choice;
    this.#stepStart = stepStart;
    this.#types = [...new Set(Object.values(choice))];
  }

  add(trace: Trace & Partial<Pick<ReadRequest, 'id' | 'trajectory'>>): void {
    if (this.#types.length === 0) return;
    const { index, id = index, trajectory } = trace;
    const all =
      trajectory === undefined ? evaluateTrace(trace) : evaluateTrajectory(trajectory, this.#stepStart);
    const verdicts = Object.fromEntries(this.#types.map((type) => [type, all[type]]));
    this.#items.push({ id, verdicts });
  }

  /** By name. The reference rounds averages to 2 decimals; so does this with its rules. */
  finish(): Readonly<Record<string, EvaluatorOutput>> {
    return Object.fromEntries(
      Object.entries(this.#choice).map(([name, type]) => {
        const items = this.#items.map(({ id, verdicts }) => ({ id, ...verdicts[type]! }));
        const sum = items.reduce((total, { score }) => total + score, 0);
        return [
          name,
          {
            average_score: items.length === 0 ? null : this.#average(sum, items.length),
            eval_output_items: items,
          },
        ];
      }),
    );
  }

  #average(sum: number, count: number): number {
    return this.#stepStart === 'span-timestamp' ? roundTo(sum / count, 2) : sum / count;
  }
}
