import { describe, expect, test } from 'vitest';
import { resolveSettings } from '../base/settings.ts';
import { engineSettings } from '../engine/engine-settings.ts';
import { upstreamOptions, WORKER_SETTINGS, workerOptions } from './worker-settings.ts';

const options = (flags: Record<string, unknown>, env: Record<string, string> = {}) =>
  workerOptions(resolveSettings(WORKER_SETTINGS, { flags, env }));

describe('settings of a worker', () => {
  test('become an engine, further arguments winning', () => {
    const extraEngineArgs = JSON.stringify({
      num_gpu_blocks: 99,
      aic_nextn: 2,
      timing_model: { type: 'fixed', prefill_ms: 7, decode_ms: 3 },
      kv_transfer_bandwidth: 10,
    });
    const { engine, role } = options({ blockSize: 32, speedup: 4, kvBytesPerToken: 1000, extraEngineArgs });
    const settings = engineSettings(engine as Parameters<typeof engineSettings>[0]);
    expect(settings).toMatchObject({
      backend: 'vllm',
      numGpuBlocks: 99,
      blockSize: 32,
      speedupRatio: 4,
      workerType: 'aggregated',
      speculative: { draftTokens: 2 },
      transfer: { kvBytesPerToken: 1000, bandwidthGBps: 10, timingMode: 'full_prompt' },
    });
    expect(settings.timing.prefillMs(1, 100, 0)).toBe(7);
    expect(role).toBe('both');
  });

  test('come from the variables of Dynamo too', () => {
    const env = { DYN_SYSTEM_PORT: '8081', DYN_NAMESPACE: 'prod', DYN_SYSTEM_HEALTH_PATH: '/healthz' };
    expect(options({}, env)).toMatchObject({
      systemPort: 8081,
      namespace: 'prod',
      systemHealthPath: '/healthz',
    });
    expect(options({ systemPort: -1 }, env).systemPort).toBeUndefined();
    expect(options({ role: 'decode' }).engine?.workerType).toBe('decode');
  });

  test('may name an engine that runs already', () => {
    const settings = (engine: string) => resolveSettings(WORKER_SETTINGS, { flags: { engine }, env: {} });
    expect(upstreamOptions(settings('sim'))).toBeUndefined();
    expect(upstreamOptions(settings('http://h:8000'))).toMatchObject({
      engine: 'http://h:8000',
      systemPort: undefined,
      component: 'backend',
    });
    expect(() => upstreamOptions(settings('vllm'))).toThrow(/--engine: vllm is not an engine/);
  });

  test.each([
    [{ timing: 'fixed:1' }, /--timing: fixed:1 is not a timing model/],
    [{ extraEngineArgs: '[1]' }, /--extra-engine-args: \[1\] is not a JSON object/],
    [{ extraEngineArgs: '{' }, /--extra-engine-args: \{ is not a JSON object/],
    [{ httpPort: 70_000 }, /--http-port: 70000 is above 65535/],
  ])('that are wrong are named: %j', (flags, message) => {
    expect(() => options(flags)).toThrow(message);
  });
});
