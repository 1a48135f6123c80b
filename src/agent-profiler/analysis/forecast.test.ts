import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { golden, goldenTraces, traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces, timeOrder } from '../../../test/support/random-traces.ts';
import { slowMean } from '../../../test/support/slow-percentile.ts';
import {
  ForecastCollector,
  type ForecastRow,
  fitForecast,
  fitLinear,
  forecastMatrices,
  forecastNext,
  forecastRows,
} from './forecast.ts';

describe('the forecast', () => {
  test.each(['a', 'b'] as const)('has the reference’s matrices on workflow %s', (workflow) => {
    const expected = golden('forecasting.json')[workflow];
    const matrices = forecastMatrices(goldenTraces(workflow).map((trace) => forecastRows(trace)!));
    expect(matrices).toEqual({ length: expected.matrix_length, X: expected.X, Y: expected.Y });
    const fit = fitLinear(matrices.X, matrices.Y, 0);
    const r2 = expected['least-squares with intercept on the same X,Y (min-norm): train R2 uniform average'];
    expect(fit.r2).toBeCloseTo(r2, 9);
  });

  test('predicts a pattern that repeats, and says how well on requests it did not see', () => {
    const requests = Array.from({ length: 20 }, (_, i): ForecastRow[] => [
      [0, 100 + i, 10],
      [1, 200 + i, 20],
      [2, 300 + i, 30],
    ]);
    const model = fitForecast(requests);
    expect(model).toMatchObject({ kind: 'ridge', matrix_length: 3 });
    expect(model.holdout!.mae).toBeLessThan(model.holdout!.mae_of_mean / 10);
    const [next] = forecastNext(model, [[0, 105, 0]]);
    expect(next![1]).toBeCloseTo(205, 0);
  });

  test('keeps the mean where nothing can be learnt', () => {
    const requests = Array.from({ length: 10 }, (_, i): ForecastRow[] => [[0, 0, (i * 7919) % 101]]);
    expect(fitForecast(requests).kind).toBe('mean');
  });

  test('tells why the reference could not train', () => {
    const collector = new ForecastCollector();
    expect(collector.fault).toBe('no requests');
    expect(collector.finish()).toBeUndefined();
    collector.add(traceOf(['LLM_END', 1, 'u']));
    expect(collector.fault).toBe('an LLM_END without LLM_START');
  });
});

type Table = readonly (readonly number[])[];

/** The row of a request at a place; zeros before its first and after its last call. */
const rowAt = (request: readonly ForecastRow[], i: number): ForecastRow => request[i] ?? [0, 0, 0];

function slowSamples(requests: readonly (readonly ForecastRow[])[], length: number) {
  const places = requests.flatMap((request) => request.map((_, i) => [request, i] as const));
  const offsets = Array.from({ length }, (_, i) => i);
  return {
    X: places.map(([request, i]) =>
      offsets.flatMap((o) => {
        const [gapS, prompt, completion] = rowAt(request, i - length + 1 + o);
        return [gapS, prompt, o === length - 1 ? 0 : completion];
      }),
    ),
    Y: places.map(([request, i]) => offsets.flatMap((o) => rowAt(request, i + 1 + o))),
  };
}

/** Weights and, in the last row, the intercept: the normal equations with a column of ones, by elimination. */
function slowRidge(X: Table, Y: Table, ridge: number): number[][] {
  const rows = X.map((x) => [...x, 1]);
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const column = (table: Table, j: number) => table.map((row) => row[j]!);
  const width = rows[0]!.length;
  const system = rows[0]!.map((_, i) => [
    ...rows[0]!.map(
      (_value, j) => dot(column(rows, i), column(rows, j)) + (i === j && i < width - 1 ? ridge : 0),
    ),
    ...Y[0]!.map((_value, j) => dot(column(rows, i), column(Y, j))),
  ]);
  for (const i of system.keys()) {
    const pivot = [...system.keys()]
      .slice(i)
      .reduce((best, r) => (Math.abs(system[r]![i]!) > Math.abs(system[best]![i]!) ? r : best));
    [system[i], system[pivot]] = [system[pivot]!, system[i]!];
    for (const [r, row] of system.entries()) {
      const factor = row[i]! / system[i]![i]!;
      if (r !== i) system[r] = row.map((value, j) => value - factor * system[i]![j]!);
    }
  }
  return system.map((row, i) => row.slice(width).map((value) => value / row[i]!));
}

/** A solution of one row is an intercept alone. */
function predict(solution: Table, x: readonly number[]): readonly number[] {
  const inputs = solution.length === 1 ? [1] : [...x, 1];
  return solution[0]!.map((_, j) => inputs.reduce((sum, value, i) => sum + value * solution[i]![j]!, 0));
}

const meanRow = (Y: Table) => Y[0]!.map((_, j) => slowMean(Y.map((row) => row[j]!)));
const errorOf = (predicted: Table, actual: Table) =>
  slowMean(actual.flatMap((row, i) => row.map((value, j) => Math.abs(value - predicted[i]![j]!))));

/** One where all is met, zero where no better than the mean; the average over the outputs. */
function slowR2(predicted: Table, actual: Table): number {
  const scores = meanRow(actual).map((middle, j) => {
    const squares = (of: (i: number) => number) => slowMean(actual.map((_, i) => of(i) ** 2));
    const rest = squares((i) => actual[i]![j]! - predicted[i]![j]!);
    const whole = squares((i) => actual[i]![j]! - middle);
    return whole === 0 ? Number(rest < 1e-12) : 1 - rest / whole;
  });
  return slowMean(scores);
}

function expectNear(actual: Table, expected: Table): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, row] of expected.entries()) {
    expect(actual[i]!.length).toBe(row.length);
    for (const [j, value] of row.entries()) expect(actual[i]![j]).toBeCloseTo(value, 6);
  }
}

describe('the forecast of any requests', () => {
  const row = fc.tuple(fc.nat(5), fc.nat(40), fc.nat(20));
  const request = fc.array<ForecastRow>(row, { minLength: 1, maxLength: 10 });
  const requests = fc.array(request, { minLength: 1, maxLength: 8 });

  test('has the rows of a trace in the order of its ends, each with the gap of its start', () => {
    const property = fc.property(randomTraces({ maxTraces: 1 }), (traces) => {
      for (const trace of traces) {
        const rows = trace.events.flatMap((end) => {
          if (end.type !== 'LLM_END') return [];
          const start = timeOrder(trace.events).findLast(
            ({ type, uuid }) => type === 'LLM_START' && uuid === end.uuid,
          );
          return [[start?.secondsBetweenCalls, end.usage?.prompt ?? 0, end.usage?.completion ?? 0]];
        });
        const whole = rows.every(([gapS]) => gapS !== undefined);
        expect(forecastRows(trace)).toEqual(whole ? rows : undefined);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  const meanLength = (list: readonly (readonly ForecastRow[])[]) =>
    Math.ceil(slowMean(list.map((calls) => calls.length)));

  test('has samples that look back and on from each call', () => {
    const property = fc.property(requests, fc.integer({ min: 1, max: 12 }), (list, maxLength) => {
      const length = Math.min(maxLength, meanLength(list));
      expect(forecastMatrices(list, maxLength)).toEqual({ length, ...slowSamples(list, length) });
    });
    fc.assert(property, { numRuns: 200 });
  });

  test('is a ridge regression by elimination, or the mean where that errs less on every fifth request', () => {
    const property = fc.property(requests, request, (list, calls) => {
      const model = fitForecast(list);
      const length = Math.min(8, meanLength(list));
      const all = slowSamples(list, length);
      const ridge = slowRidge(all.X, all.Y, 1);
      const solution = model.kind === 'ridge' ? ridge : [meanRow(all.Y)];
      expect(model.matrix_length).toBe(length);
      expectNear([...model.weights, model.intercept], solution);
      const r2 = slowR2(
        all.X.map((x) => predict(ridge, x)),
        all.Y,
      );
      expect(model.train_r2).toBeCloseTo(model.kind === 'ridge' ? r2 : 0, 6);

      const held = slowSamples(
        list.filter((_, i) => i % 5 === 4),
        length,
      );
      const seen = slowSamples(
        list.filter((_, i) => i % 5 !== 4),
        length,
      );
      if (held.X.length === 0) expect(model).toMatchObject({ kind: 'ridge', holdout: null });
      else {
        const learnt = slowRidge(seen.X, seen.Y, 1);
        const mae = errorOf(
          held.X.map((x) => predict(learnt, x)),
          held.Y,
        );
        const maeOfMean = errorOf(
          held.Y.map(() => meanRow(seen.Y)),
          held.Y,
        );
        expect(model.holdout!.samples).toBe(held.X.length);
        expect(model.holdout!.mae).toBeCloseTo(mae, 6);
        expect(model.holdout!.mae_of_mean).toBeCloseTo(maeOfMean, 6);
        if (Math.abs(mae - maeOfMean) > 1e-6) expect(model.kind).toBe(mae < maeOfMean ? 'ridge' : 'mean');
      }

      const now = slowSamples([calls], length).X.at(-1)!;
      const next = predict(solution, now).map((value) => Math.max(0, value));
      expectNear([forecastNext(model, calls).flat()], [next]);
    });
    // What is held out is shorter than what was learnt from.
    const [one, other]: ForecastRow[] = [
      [1, 30, 5],
      [0, 10, 2],
    ];
    const longer = [1, 2, 3, 4].map(() => [one!, other!, one!]);
    fc.assert(property, { numRuns: 40, examples: [[[...longer, [one!]], [other!]]] });
  });
});
