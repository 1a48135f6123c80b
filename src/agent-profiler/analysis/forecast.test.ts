import { describe, expect, test } from 'vitest';
import { golden, goldenTraces, traceOf } from '../../../test/support/golden-traces.ts';
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
