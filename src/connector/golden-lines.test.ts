import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConnectorRegistry } from './connector-registry.ts';
import { transferLogLine } from './log-line.ts';
import type { DropReason } from './stats.ts';
import { TransferLog } from './transfer-log.ts';

interface Case {
  readonly id: string;
  readonly connector: string;
  readonly observed: readonly unknown[];
  readonly reduced?: Record<string, unknown> | null;
  readonly logLine?: string | null;
  readonly throws?: string;
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/connector/reduce.json', import.meta.url), 'utf8'),
) as { readonly cases: readonly Case[] };

/** Registered, and without stats. */
function registry(): ConnectorRegistry {
  const connectors = new ConnectorRegistry();
  connectors.register({ name: 'Silent', create: () => undefined });
  return connectors;
}

function close({ connector, observed }: Case) {
  const drops: DropReason[] = [];
  const log = new TransferLog(connector, registry(), 0);
  for (const payload of observed) log.observe(payload, (reason) => drops.push(reason));
  return { report: log.close(10_000), drops };
}

const byId = (id: string): Case => golden.cases.find((each) => each.id === id)!;
const fine = golden.cases.filter(({ throws }) => throws === undefined);
const throwing = golden.cases.filter(({ throws }) => throws !== undefined);

describe('an interval comes to the reference’s numbers and line', () => {
  test('of all cases there are', () => {
    expect([fine.length, throwing.length]).toEqual([18, 4]);
  });

  test.each(fine.map((each) => [each.id, each] as const))('%s', (_id, each) => {
    const { report } = close(each);
    const expected = JSON.parse(JSON.stringify(each.reduced ?? null), (_key, value: unknown) =>
      value === 'Infinity' ? Number.POSITIVE_INFINITY : value,
    ) as unknown;
    expect(report?.stats ?? null).toEqual(expected);
    expect(report?.line ?? null).toBe(each.logLine ?? null);
    const keys = Object.keys(each.reduced ?? {});
    expect(Object.keys(report?.stats ?? {})).toEqual(keys);
  });

  test.each(fine.map((each) => [each.id, each] as const))('%s, sent through another process', (_id, each) => {
    const connectors = registry();
    const drop = (): void => {};
    const total = connectors.build(each.connector, {}, drop);
    for (const payload of each.observed) {
      const worker = connectors.build(each.connector, payload, drop);
      const wire: unknown = JSON.parse(JSON.stringify(worker?.data() ?? {}));
      const received = connectors.build(each.connector, wire, drop);
      if (received !== undefined) total?.aggregate(received);
    }
    const line = total === undefined || total.isEmpty() ? null : transferLogLine(total.reduce());
    expect(line).toBe(each.logLine ?? null);
  });
});

describe('what makes the reference throw is counted, and the rest is kept', () => {
  test('an unknown key of a later payload', () => {
    const { report, drops } = close(byId('nixl-unknown-key-second'));
    expect(drops).toEqual(['unknown_key']);
    expect(report?.stats['Num successful transfers']).toBe(2);
  });

  test('a torn row', () => {
    const { report, drops } = close(byId('nixl-torn-row'));
    expect(drops).toEqual(['torn_row']);
    expect(report?.stats['Num successful transfers']).toBe(1);
  });

  test('an unknown child, which has nothing to tell here', () => {
    expect(close(byId('multi-unknown-child'))).toEqual({ report: undefined, drops: [] });
  });

  test('a child that is not wrapped', () => {
    const { report, drops } = close(byId('multi-child-not-wrapped'));
    expect(drops).toEqual([]);
    expect(report?.stats.NixlConnector).toMatchObject({ 'Num successful transfers': 1 });
  });
});
