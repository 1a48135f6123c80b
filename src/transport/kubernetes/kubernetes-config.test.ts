import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readKubernetesConfig } from './kubernetes-config.ts';

const dir = mkdtempSync(join(tmpdir(), 'kvasir-kubeconfig-'));
const read = (kubeconfig: string | undefined): KubeConfig =>
  readKubernetesConfig(() => new KubeConfig(), kubeconfig);

/** A file with one cluster, user and context, all of one name. */
function configFile(
  name: string,
  { server = `https://${name}.example`, user = { token: name } as object, current = true } = {},
): string {
  const path = join(dir, `${name}-${Math.random()}`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: `ns-${name}` } }],
    ...(current && { 'current-context': name }),
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

afterEach(() => vi.unstubAllEnvs());

describe('the Kubernetes configuration', () => {
  test('of several files: the first to name a thing wins, missing files are passed over', () => {
    const a = configFile('a', { current: false });
    const again = configFile('a', { server: 'https://other.example' });
    const b = configFile('b');
    const config = read(['/nowhere/config', a, '', again, b].join(delimiter));
    expect(config.clusters.map(({ server }) => server)).toEqual(['https://a.example', 'https://b.example']);
    expect(config.getCurrentContext()).toBe('a');
    config.setCurrentContext('b');
    expect(config.getCurrentCluster()?.server).toBe('https://b.example');
    expect(config.getContextObject('b')?.namespace).toBe('ns-b');
  });

  test('reads a token file beside it for every call', async () => {
    writeFileSync(join(dir, 'token'), 'first\n');
    const config = read(configFile('a', { user: { token: 'stale', tokenFile: 'token' } }));
    const authorization = async () => {
      const { headers } = await config.applyToFetchOptions({});
      return (headers as unknown as Headers).get('authorization');
    };
    expect(await authorization()).toBe('Bearer first');
    writeFileSync(join(dir, 'token'), 'second');
    expect(await authorization()).toBe('Bearer second');
  });

  test('finds a plugin that is named by its place', async () => {
    const credential = { kind: 'ExecCredential', status: { token: 'of the plugin' } };
    writeFileSync(join(dir, 'plugin'), `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o755 });
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin' };
    const { headers } = await read(configFile('a', { user: { exec } })).applyToFetchOptions({});
    expect((headers as unknown as Headers).get('authorization')).toBe('Bearer of the plugin');
  });

  test('that is missing, empty, or names no cluster is said to be so', () => {
    expect(() => read('/nowhere/config')).toThrow(
      /reading the Kubernetes configuration failed: ENOENT.*\/nowhere\/config/,
    );
    expect(() => read(configFile('a', { current: false }))).toThrow(
      /its current context "" names no cluster in it/,
    );
    vi.stubEnv('HOME', dir);
    vi.stubEnv('KUBECONFIG', '');
    expect(() => read(undefined)).toThrow(/there is none: no ~\/\.kube\/config/);
  });
});
