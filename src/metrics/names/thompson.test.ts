import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { FamilySpec } from '../spec.ts';
import { THOMPSON, THOMPSON_ROUTER } from './thompson.ts';

interface GoldenFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/thompson/interfaces.json', import.meta.url), 'utf8'),
) as Record<'router_metrics' | 'processor_metrics', readonly GoldenFamily[]>;

const plain = (families: readonly (FamilySpec | GoldenFamily)[]) =>
  families
    .map(({ name, type, help, labels, buckets }) => ({ name, type, help, labels, buckets }))
    .sort((a, b) => a.name.localeCompare(b.name));

test('the families of processor and router are the reference’s', () => {
  expect(plain(Object.values<FamilySpec>(THOMPSON))).toEqual(plain(golden.processor_metrics));
  expect(plain(Object.values<FamilySpec>(THOMPSON_ROUTER))).toEqual(plain(golden.router_metrics));
});
