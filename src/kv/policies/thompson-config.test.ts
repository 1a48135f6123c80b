import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { isThompsonConfig, readThompsonConfig } from './thompson-config.ts';
import { REFERENCE_THOMPSON } from './thompson-parameters.ts';

const { shipped_config_yaml: shipped } = JSON.parse(
  readFileSync(new URL('../../../test/golden/thompson/interfaces.json', import.meta.url), 'utf8'),
).router_config;

describe('the configuration of the Thompson router', () => {
  test('as it is shipped is the reference preset', () => {
    const read = readThompsonConfig(shipped, []);
    expect(REFERENCE_THOMPSON).toMatchObject(read.parameters);
    expect(Object.keys(read.parameters)).toHaveLength(25);
    expect(read).toMatchObject({ blockSize: 16, byLoad: false, minWorkers: 1, traceFile: undefined });
  });

  test('is told from settings of Kvasir by its sections', () => {
    expect(isThompsonConfig({ lints: { v: 0.1 } })).toBe(true);
    expect(isThompsonConfig({ router_mode: 'kv', prefill: true })).toBe(false);
    expect(isThompsonConfig(undefined)).toBe(false);
  });

  test('is changed by overrides, the last of a key, within the reference’s bounds', () => {
    const overrides = [
      'lints.v=0.1',
      'lints.v=0.4',
      'lints.forget_rate=1',
      'affinity.base=1',
      'feedback.timeout_reward=7',
    ];
    const { parameters } = readThompsonConfig({ lints: { v: 9 } }, overrides);
    expect(parameters).toEqual({ v: 0.4, forgetRate: 0.999999, affinityBase: 1, timeoutReward: 1 });
    const others = [
      'infrastructure.router_type=kv_load',
      'debug.traces_enabled=yes',
      'infrastructure.min_workers=0',
    ];
    expect(readThompsonConfig(undefined, others)).toMatchObject({
      byLoad: true,
      minWorkers: 0,
      traceFile: '/tmp/dynamo_router_traces/router_traces.jsonl',
    });
    const debug = { traces_enabled: true, trace_dir: 'traces/', buffer_size: 9 };
    expect(readThompsonConfig({ debug }, []).traceFile).toBe('traces/router_traces.jsonl');
    expect(readThompsonConfig({ debug }, ['debug.traces_enabled=0']).traceFile).toBeUndefined();
  });

  test.each([
    ['lints.w=1', /lints\.w.*Did you mean lints\.v/s],
    ['lints.v', /key\.path=value/],
    ['lints.v=much', /lints\.v: much/],
    ['lints.v=true', /lints\.v: true/],
    ['prefill.token_scale=0', /above 0/],
    ['affinity.base=-1', /from 0 on/],
    ['infrastructure.router_type=none', /kv, kv_load/],
    ['infrastructure.block_size=1.5', /whole number/],
    ['debug.traces_enabled=maybe', /traces_enabled.*maybe/],
    ['debug.trace_dir=7', /trace_dir.*no folder/],
  ])('refuses %s and says what is wrong', (override, message) => {
    let said = '';
    try {
      readThompsonConfig(undefined, [override]);
    } catch (thrown) {
      const { message: text, hint } = thrown as { message: string; hint: string };
      said = `${text} ${hint}`;
    }
    expect(said).toMatch(message);
  });
});
