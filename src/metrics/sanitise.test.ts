import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { KvasirError } from '../base/errors.ts';
import {
  componentMetricName,
  frontendPrefix,
  sanitiseLabel,
  sanitiseMetricName,
  withFrontendPrefix,
} from './sanitise.ts';

const { golden } = metricsCatalogue();

function attempt(sanitise: (text: string) => string, input: string): string | null {
  try {
    return sanitise(input);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(KvasirError);
    return null;
  }
}

describe('sanitising agrees with the reference', () => {
  test.each(golden.sanitize_metric_name)('metric name $input', ({ input, output }) => {
    expect(attempt(sanitiseMetricName, input)).toBe(output);
  });

  test.each(golden.sanitize_label)('label $input', ({ input, output }) => {
    expect(attempt(sanitiseLabel, input)).toBe(output);
  });

  test.each(golden.build_component_name)('component metric $input', ({ input, output }) => {
    expect(attempt(componentMetricName, input)).toBe(output);
  });

  test.each(golden.frontend_prefix)('frontend prefix $input', ({ input, output }) => {
    expect(frontendPrefix(input)).toBe(output);
  });
});

test('the frontend prefix is replaced only where it stands', () => {
  expect(withFrontendPrefix('dynamo_frontend_requests_total', 'mine')).toBe('mine_requests_total');
  expect(withFrontendPrefix('dynamo_component_requests_total', 'mine')).toBe(
    'dynamo_component_requests_total',
  );
  expect(frontendPrefix(undefined)).toBe('dynamo_frontend');
});
