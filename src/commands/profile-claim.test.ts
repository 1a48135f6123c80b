import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ClaimPods } from '../../test/support/claim-pods.ts';
import { type ClusterBehaviour, KubernetesApi } from '../../test/support/kubernetes-api.ts';
import { SILENT_LOG } from '../base/log.ts';
import { resolveSettings } from '../base/settings.ts';
import { placeOf } from '../transport/kubernetes/claim-path.ts';
import type { Command } from './command.ts';
import { command as download } from './profile-download.ts';
import { command as inject } from './profile-inject.ts';

const apis: KubernetesApi[] = [];
afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.stop()));
});

/** A claim with these files, behind an API server. */
async function claim(files: Readonly<Record<string, string | Buffer>>, behaviour: ClusterBehaviour = {}) {
  const pods = behaviour.claimPods ?? new ClaimPods();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(pods.claim, name)), { recursive: true });
    writeFileSync(join(pods.claim, name), content);
  }
  const api = new KubernetesApi({ claimPods: pods, ...behaviour });
  apis.push(api);
  const kubeconfig = await api.start();
  const dir = mkdtempSync(join(tmpdir(), 'kvasir-download-'));
  const run = async (command: Command, flags: Record<string, unknown>): Promise<unknown> => {
    const settings = resolveSettings(command.settings, {
      flags: { kubeconfig, namespace: 'prod', ...flags },
      env: {},
    });
    const printed: string[] = [];
    await command.run(settings as never, {
      log: SILENT_LOG,
      logLevel: 'silent',
      signal: new AbortController().signal,
      interactive: false,
      print: (line) => printed.push(line),
    });
    return JSON.parse(printed[0]!);
  };
  return { api, pods, dir, run };
}

const names = (dir: string): string[] =>
  (readdirSync(dir, { recursive: true, encoding: 'utf8' }) as string[])
    .filter((name) => statSync(join(dir, name)).isFile())
    .toSorted();

const RESULTS = {
  'profiling_results/report.html': '<html>',
  'profiling_results/config_with_planner.yaml': 'kind: x',
  'profiling_results/decode tp2/config.yml': 'kind: y',
  'profiling_results/selected_prefill_interpolation/raw_data.npz': Buffer.from(
    Array.from({ length: 300_000 }, (_, i) => i % 256),
  ),
  'configs/disagg.yaml': 'kind: z',
};

describe('profile download', () => {
  test('copies every file byte for byte, and deletes its pod', async () => {
    const { api, dir, run } = await claim(RESULTS);
    // One that an earlier run left behind is replaced.
    api.pods.set('pvc-access-pod', { metadata: { name: 'pvc-access-pod' } });
    const result = await run(download as never, { outputDir: dir });
    expect(result).toEqual({ files: 4, bytes: 300_020, output_dir: dir });
    expect(names(dir)).toEqual(
      Object.keys(RESULTS)
        .filter((name) => name.startsWith('profiling_results/'))
        .map((name) => name.slice('profiling_results/'.length))
        .toSorted(),
    );
    const npz = 'selected_prefill_interpolation/raw_data.npz';
    expect(readFileSync(join(dir, npz)).equals(RESULTS[`profiling_results/${npz}`])).toBe(true);
    expect(api.pods.size).toBe(0);
    const verbs = api.requests.map((request) => request.split(' ')[0]);
    expect(verbs.filter((verb) => verb === 'DELETE').length).toBe(2);
  });

  test('leaves out deployment files when told to', async () => {
    const { dir, run } = await claim(RESULTS);
    await run(download as never, { outputDir: dir, noConfig: true });
    expect(names(dir)).toEqual(['report.html', 'selected_prefill_interpolation/raw_data.npz']);
  });

  test.each(['/etc', '/data', '/data/', '/data/../etc', '/database/x', 'results'])(
    'refuses the folder %s before anything is started',
    async (folder) => {
      const { api, dir, run } = await claim({});
      await expect(run(download as never, { outputDir: dir, folder })).rejects.toThrow('--folder');
      expect(api.requests).toEqual([]);
    },
  );

  test('places what is inside its folder only', () => {
    expect(placeOf('/data/r/a b/c.npz', '/data/r')).toBe('a b/c.npz');
    for (const path of [
      '/data/rx/a',
      '/etc/passwd',
      '/data/r/../x',
      '/data/r//x',
      '/data/r/a/..',
      '/data/r/..\\x',
    ])
      expect(placeOf(path, '/data/r')).toBeUndefined();
  });

  test.each([
    [{}, { folder: '/data/nothing' }, /No such file or directory/],
    [
      { 'empty/a.yaml': '' },
      { folder: '/data/empty', noConfig: true },
      /there is no file below \/data\/empty/,
    ],
  ])('says when there is nothing to copy, and deletes its pod: %j %j', async (files, flags, reason) => {
    const { api, dir, run } = await claim(files);
    await expect(run(download as never, { outputDir: dir, ...flags })).rejects.toThrow(reason);
    expect(api.pods.size).toBe(0);
  });

  test('says why its pod does not run, and deletes it', async () => {
    const { api, dir, run } = await claim(
      {},
      { unschedulable: 'persistentvolumeclaim "dynamo-pvc" not found' },
    );
    await expect(run(download as never, { outputDir: dir, readyTimeout: 1 })).rejects.toThrow(
      'it was not running after 1 s: Pending; persistentvolumeclaim "dynamo-pvc" not found',
    );
    expect(api.pods.size).toBe(0);
  });

  test('ends when the connection breaks off', async () => {
    const pods = new ClaimPods();
    pods.broken = true;
    const { dir, run } = await claim(RESULTS, { claimPods: pods });
    await expect(run(download as never, { outputDir: dir })).rejects.toThrow('the connection broke off');
  });
});

describe('profile inject', () => {
  test.each(['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const)(
    'puts a file where a job finds it, over %s',
    async (protocol) => {
      const { pods, dir, run, api } = await claim({}, { claimPods: new ClaimPods(protocol) });
      const src = join(dir, 'disagg.yaml');
      const text = `kind: DynamoGraphDeployment\n# ${'ö'.repeat(200_000)}\n`;
      writeFileSync(src, text);
      expect(await run(inject as never, { src, dest: '/data/configs/' })).toEqual({
        src,
        dest: '/data/configs/disagg.yaml',
      });
      expect(readFileSync(join(pods.claim, 'configs/disagg.yaml'), 'utf8')).toBe(text);
      expect(names(pods.claim)).toEqual(['configs/disagg.yaml']);
      expect(api.pods.size).toBe(0);
    },
  );

  test('refuses what cannot work before a pod is started', async () => {
    const { api, dir, run } = await claim({});
    const src = join(dir, 'broken.yaml');
    writeFileSync(src, 'kind: [');
    const refuse = (flags: object, reason: string) =>
      expect(run(inject as never, { dest: '/data/a.yaml', ...flags })).rejects.toThrow(reason);
    await refuse({}, '--src is needed');
    await refuse({ src }, 'broken.yaml');
    await refuse({ src: '/nowhere.yaml' }, '/nowhere.yaml');
    await refuse({ src, dest: '/data/../etc/passwd' }, 'holds ..');
    expect(api.requests).toEqual([]);
  });
});
