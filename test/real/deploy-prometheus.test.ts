import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { realPart } from '../support/real-part.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/prometheus');

/** What promtool says of files of the kit. */
function promtool(...args: readonly string[]): { readonly ok: boolean; readonly said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' });
  return { ok: status === 0, said: stdout + stderr };
}

describe.skipIf(realPart('promtool').skip)('the Prometheus kit', () => {
  test.each([
    ['check', 'config', 'prometheus.yml'],
    ['check', 'rules', 'alias-rules.yml', 'alert-rules.yml'],
  ])('passes promtool %s %s', (...args) => expect(promtool(...args)).toMatchObject({ ok: true }));

  test('computes cache efficiencies of 0.6, 0 when idle, and 0.25, and 75 tokens a second', () =>
    expect(promtool('test', 'rules', 'alias-rules.test.yml')).toMatchObject({ ok: true }));
});
