import { describe, expect, test } from 'vitest';
import { KvasirError } from './errors.ts';
import {
  choice,
  closest,
  envName,
  flag,
  flagName,
  int,
  list,
  number,
  redactedSettings,
  resolveSettings,
  text,
} from './settings.ts';

const ROWS = {
  httpPort: int({ default: 8000, env: 'DYN_HTTP_PORT', min: 0, max: 65535, help: 'port' }),
  ratio: number({ default: 0.5, min: 0, help: 'ratio' }),
  demo: flag({ help: 'demo' }),
  mode: choice({ choices: ['kv', 'round-robin'], default: 'kv', help: 'mode' }),
  engine: list({ separator: ' ', help: 'engines' }),
  apiKey: text({ secret: true, help: 'key' }),
};

const resolve = (sources: { flags?: object; env?: Record<string, string>; file?: Record<string, unknown> }) =>
  resolveSettings(ROWS, {
    flags: { ...sources.flags },
    env: sources.env ?? {},
    file: sources.file ?? {},
    fileName: 'k.yaml',
  });

const failure = (run: () => unknown): KvasirError => {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof KvasirError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
};

describe('resolveSettings', () => {
  test('prefers flags to environment to file to defaults', () => {
    const file = { 'http-port': 3 };
    const env = { DYN_HTTP_PORT: '2' };
    expect(resolve({ flags: { httpPort: '1' }, env, file }).httpPort).toBe(1);
    expect(resolve({ env, file }).httpPort).toBe(2);
    expect(resolve({ file }).httpPort).toBe(3);
    expect(resolve({}).httpPort).toBe(8000);
  });

  test('takes YAML keys in kebab-case and snake_case', () => {
    expect(resolve({ file: { http_port: 9 } }).httpPort).toBe(9);
  });

  test('freezes the result', () => {
    expect(Object.isFrozen(resolve({}))).toBe(true);
  });

  test('parts a list by its separator and keeps commas inside items', () => {
    const engines = resolve({ env: { KVASIR_ENGINE: 'http://a:1,role=decode http://b:2' } }).engine;
    expect(engines).toEqual(['http://a:1,role=decode', 'http://b:2']);
  });

  test('reads every spelling of a boolean', () => {
    expect(resolve({ env: { KVASIR_DEMO: 'on' } }).demo).toBe(true);
    expect(resolve({ file: { demo: false } }).demo).toBe(false);
  });

  test.each([
    [{ flags: { httpPort: 'x' } }, '--http-port: "x" is not a number'],
    [{ flags: { httpPort: '' } }, '--http-port: "" is not a number'],
    [{ flags: { httpPort: '1.5' } }, '--http-port: "1.5" is not a whole number'],
    [{ flags: { httpPort: '70000' } }, '--http-port: "70000" is above 65535'],
    [{ env: { KVASIR_RATIO: '-1' } }, 'KVASIR_RATIO: "-1" is below 0'],
    [{ env: { KVASIR_DEMO: 'maybe' } }, 'KVASIR_DEMO: "maybe" is not a boolean'],
    [{ file: { mode: 'round-robn' } }, 'mode in k.yaml: "round-robn" is not one of its values'],
    [{ file: { htp_port: 1 } }, 'unknown setting htp_port in k.yaml'],
  ])('names the setting and the value of %j', (sources, message) => {
    expect(failure(() => resolve(sources)).message).toBe(message);
  });

  test('suggests the value and the key that were meant', () => {
    expect(failure(() => resolve({ file: { mode: 'round-robn' } })).hint).toContain(
      'Did you mean round-robin?',
    );
    expect(failure(() => resolve({ file: { htp_port: 1 } })).hint).toBe('Did you mean http-port?');
  });
});

test('names follow from the key', () => {
  expect(flagName('kvCacheBlockSize')).toBe('--kv-cache-block-size');
  expect(envName('kvCacheBlockSize', text({ help: '' }))).toBe('KVASIR_KV_CACHE_BLOCK_SIZE');
});

test('secrets are redacted before settings are logged', () => {
  const settings = resolve({ flags: { apiKey: 'sesame' } });
  expect(redactedSettings(ROWS, settings)).toMatchObject({ apiKey: '[redacted]', httpPort: 8000 });
});

test('closest finds near words only', () => {
  expect(closest('fronted', ['frontend', 'worker'])).toBe('frontend');
  expect(closest('zebra', ['frontend', 'worker'])).toBeUndefined();
});
