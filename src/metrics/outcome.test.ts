import { expect, test } from 'vitest';
import { fail } from '../base/errors.ts';
import { errorTypeOf, errorTypeOfStatus } from './outcome.ts';

test.each([
  [400, 'Validation: prompt is empty', 'validation'],
  [400, 'the body is not JSON', 'internal'],
  [404, '', 'not_found'],
  [501, '', 'not_implemented'],
  [500, '', 'internal'],
  [429, '', 'overload'],
  [529, '', 'overload'],
  [503, '', 'unavailable'],
  [499, '', 'cancelled'],
  [401, '', 'validation'],
  [413, '', 'validation'],
  [502, '', 'internal'],
  [504, '', 'internal'],
])('status %i with message %j is %s', (status, message, type) => {
  expect(errorTypeOfStatus(status, message)).toBe(type);
});

test('a configured overload status comes before all others', () => {
  expect(errorTypeOfStatus(503, '', 503)).toBe('overload');
  expect(errorTypeOfStatus(529, '', 503)).toBe('overload');
});

test('an error gives the type of its status, an overload its own, anything else is internal', () => {
  expect(errorTypeOf(fail('KV_REQUEST_INVALID', { reason: 'n' }))).toBe('validation');
  expect(errorTypeOf(fail('KV_MODEL_UNKNOWN', { model: 'm' }))).toBe('not_found');
  expect(errorTypeOf(fail('KV_NO_WORKERS', {}))).toBe('unavailable');
  expect(errorTypeOf(fail('KV_OVERLOADED', {}), 503)).toBe('overload');
  expect(errorTypeOf('oops')).toBe('internal');
});
