import { Matrix, pseudoInverse, solve } from 'ml-matrix';
import { byTime, type Trace } from '../input/event.ts';

/** One LLM call: seconds since the call before, prompt tokens, completion tokens. */
export type ForecastRow = readonly [gapS: number, promptTokens: number, completionTokens: number];

export interface ForecastMatrices {
  /** Calls of history and of future in one sample. */
  readonly length: number;
  readonly X: readonly (readonly number[])[];
  readonly Y: readonly (readonly number[])[];
}

/** A fitted forecast, as fitted_model.json holds it: the next calls' tokens from the last ones. */
export interface ForecastModel {
  readonly kind: 'ridge' | 'mean';
  readonly columns: readonly ['seconds_between_calls', 'prompt_tokens', 'completion_tokens'];
  readonly matrix_length: number;
  readonly ridge: number;
  /** One row per feature, one column per forecast value; empty for the mean. */
  readonly weights: readonly (readonly number[])[];
  readonly intercept: readonly number[];
  readonly train_r2: number;
  /** Mean absolute error on every fifth request, which training did not see; null with fewer than five. */
  readonly holdout: { readonly samples: number; readonly mae: number; readonly mae_of_mean: number } | null;
}

const COLUMNS = ['seconds_between_calls', 'prompt_tokens', 'completion_tokens'] as const;
const WIDTH = COLUMNS.length;
const HOLDOUT = 5;
const RIDGE = 1;
// The features grow with the square of this; longer histories than the last calls forecast no better.
const MAX_LENGTH = 8;
const MAX_TRAINING_ROWS = 20_000;

/** Why no model was fitted. */
export type ForecastFault = 'no requests' | 'a request without LLM call' | 'an LLM_END without LLM_START';

/** Rows of LLM calls per request, the first 20 000 calls; their number decides cost, not the trace's. */
export class ForecastCollector {
  readonly #requests: ForecastRow[][] = [];
  readonly #leftOut = new Map<ForecastFault, number>();
  #rows = 0;

  add(trace: Trace): void {
    const rows = forecastRows(trace);
    if (rows === undefined) this.#leaveOut('an LLM_END without LLM_START');
    else if (rows.length === 0) this.#leaveOut('a request without LLM call');
    else if (this.#rows < MAX_TRAINING_ROWS) {
      this.#requests.push(rows);
      this.#rows += rows.length;
    }
  }

  /** What makes training fail in the reference. */
  get fault(): ForecastFault | undefined {
    const [first] = this.#leftOut.keys();
    return first ?? (this.#requests.length === 0 ? 'no requests' : undefined);
  }

  /** Requests that could not be used, by what was wrong with them. */
  get leftOut(): ReadonlyMap<ForecastFault, number> {
    return this.#leftOut;
  }

  /** Undefined without any usable request. */
  finish(): ForecastModel | undefined {
    return this.#requests.length === 0 ? undefined : fitForecast(this.#requests);
  }

  #leaveOut(fault: ForecastFault): void {
    this.#leftOut.set(fault, (this.#leftOut.get(fault) ?? 0) + 1);
  }
}

/** Undefined when an end has no start. */
export function forecastRows(trace: Trace): ForecastRow[] | undefined {
  const gaps = new Map<string, number>();
  for (const event of byTime(trace.events))
    if (event.type === 'LLM_START') gaps.set(event.uuid, event.secondsBetweenCalls);
  const rows: ForecastRow[] = [];
  for (const event of trace.events) {
    if (event.type !== 'LLM_END') continue;
    const gapS = gaps.get(event.uuid);
    if (gapS === undefined) return undefined;
    rows.push([gapS, event.usage?.prompt ?? 0, event.usage?.completion ?? 0]);
  }
  return rows;
}

/** Samples as long as the requests are on average. */
export function forecastMatrices(
  requests: readonly (readonly ForecastRow[])[],
  maxLength = Number.POSITIVE_INFINITY,
): ForecastMatrices {
  const rows = requests.reduce((sum, request) => sum + request.length, 0);
  const length = Math.min(maxLength, requests.length === 0 ? 0 : Math.ceil(rows / requests.length));
  return { length, ...samples(requests, length) };
}

/** For each call the calls up to it (its own completion unknown) and the calls after it, padded with zeros. */
function samples(
  requests: readonly (readonly ForecastRow[])[],
  length: number,
): Omit<ForecastMatrices, 'length'> {
  const X: number[][] = [];
  const Y: number[][] = [];
  for (const request of requests) {
    for (let i = 0; i < request.length; i++) {
      const history: number[] = [];
      const future: number[] = [];
      for (let back = length - 1; back >= 0; back--) history.push(...(request[i - back] ?? [0, 0, 0]));
      history[history.length - 1] = 0;
      for (let on = 1; on <= length; on++) future.push(...(request[i + on] ?? [0, 0, 0]));
      X.push(history);
      Y.push(future);
    }
  }
  return { X, Y };
}

/** Fits a ridge regression, and keeps the plain mean instead where that does better on what neither has seen. */
export function fitForecast(requests: readonly (readonly ForecastRow[])[]): ForecastModel {
  const held = requests.filter((_, i) => i % HOLDOUT === HOLDOUT - 1);
  const { length, X, Y } = forecastMatrices(requests, MAX_LENGTH);
  const whole = fitLinear(X, Y, RIDGE);
  const shape = { columns: COLUMNS, matrix_length: length };
  const ridge = {
    kind: 'ridge' as const,
    ...shape,
    ridge: RIDGE,
    weights: whole.weights,
    intercept: whole.intercept,
    train_r2: whole.r2,
  };
  if (held.length === 0) return { ...ridge, holdout: null };
  // All of one length: features of the last calls must stand in the same places.
  const train = samples(
    requests.filter((_, i) => i % HOLDOUT !== HOLDOUT - 1),
    length,
  );
  const test = samples(held, length);
  const fitted = fitLinear(train.X, train.Y, RIDGE);
  const average = means(train.Y);
  const mae = absoluteError(
    test.X.map((x) => predictLinear(fitted, x)),
    test.Y,
  );
  const maeOfMean = absoluteError(
    test.Y.map(() => average),
    test.Y,
  );
  const holdout = { samples: test.X.length, mae, mae_of_mean: maeOfMean };
  if (mae < maeOfMean) return { ...ridge, holdout };
  return { kind: 'mean', ...shape, ridge: RIDGE, weights: [], intercept: means(Y), train_r2: 0, holdout };
}

/** The next calls, given the calls so far of one request (the last one's completion may be 0). */
export function forecastNext(model: ForecastModel, calls: readonly ForecastRow[]): readonly ForecastRow[] {
  const features: number[] = [];
  for (let back = model.matrix_length; back >= 1; back--)
    features.push(...(calls[calls.length - back] ?? [0, 0, 0]));
  if (features.length > 0) features[features.length - 1] = 0;
  const flat = predictLinear(model, features);
  return Array.from(
    { length: model.matrix_length },
    (_, i) => flat.slice(i * WIDTH, (i + 1) * WIDTH).map((v) => Math.max(0, v)) as unknown as ForecastRow,
  );
}

interface LinearFit {
  readonly weights: readonly (readonly number[])[];
  readonly intercept: readonly number[];
  /** Uniform average over the outputs. */
  readonly r2: number;
}

/** Least squares with intercept; without a ridge the solution of least norm. */
export function fitLinear(
  X: readonly (readonly number[])[],
  Y: readonly (readonly number[])[],
  ridge: number,
): LinearFit {
  const centreX = means(X);
  const centreY = means(Y);
  const x = centred(X, centreX);
  const y = centred(Y, centreY);
  const weights =
    ridge === 0
      ? pseudoInverse(x).mmul(y)
      : solve(x.transpose().mmul(x).add(Matrix.eye(x.columns).mul(ridge)), x.transpose().mmul(y));
  const rows = weights.to2DArray();
  const intercept = centreY.map(
    (value, j) => value - centreX.reduce((sum, c, i) => sum + c * rows[i]![j]!, 0),
  );
  const fit = { weights: rows, intercept, r2: 0 };
  return {
    ...fit,
    r2: rSquared(
      X.map((row) => predictLinear(fit, row)),
      Y,
      centreY,
    ),
  };
}

function predictLinear(
  { weights, intercept }: Pick<LinearFit, 'weights' | 'intercept'>,
  features: readonly number[],
): number[] {
  return intercept.map((value, j) =>
    weights.reduce((sum, row, i) => sum + row[j]! * (features[i] ?? 0), value),
  );
}

function means(rows: readonly (readonly number[])[]): number[] {
  const width = rows[0]?.length ?? 0;
  return Array.from({ length: width }, (_, j) => rows.reduce((sum, row) => sum + row[j]!, 0) / rows.length);
}

function centred(rows: readonly (readonly number[])[], centre: readonly number[]): Matrix {
  return new Matrix(rows.map((row) => row.map((value, j) => value - centre[j]!)));
}

/** A constant output counts 1 when it is met and 0 when not. */
function rSquared(
  predicted: readonly (readonly number[])[],
  actual: readonly (readonly number[])[],
  centre: readonly number[],
): number {
  const scores = centre.map((middle, j) => {
    let rest = 0;
    let total = 0;
    for (const [i, row] of actual.entries()) {
      rest += (row[j]! - predicted[i]![j]!) ** 2;
      total += (row[j]! - middle) ** 2;
    }
    if (total === 0) return rest < 1e-12 ? 1 : 0;
    return 1 - rest / total;
  });
  return scores.reduce((sum, score) => sum + score, 0) / (scores.length || 1);
}

function absoluteError(
  predicted: readonly (readonly number[])[],
  actual: readonly (readonly number[])[],
): number {
  let sum = 0;
  let count = 0;
  for (const [i, row] of actual.entries())
    for (const [j, value] of row.entries()) {
      sum += Math.abs(value - predicted[i]![j]!);
      count++;
    }
  return count === 0 ? 0 : sum / count;
}
