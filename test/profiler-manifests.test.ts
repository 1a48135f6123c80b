import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { flagName, resolveSettings } from '../src/base/settings.ts';
import { command } from '../src/commands/profile-sla.ts';
import { checkSlaSettings } from '../src/sla-profiler/settings.ts';

const read = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../deploy/kubernetes', name), 'utf8').replaceAll(
    // biome-ignore lint/suspicious/noTemplateCurlyInString: envsubst's placeholder
    '${NAMESPACE}',
    'prod',
  );

describe('the manifests of the profiler', () => {
  test.each([
    ['profiler-job.yaml', '16', '10Gi'],
    ['profiler-moe-job.yaml', '32', '50Gi'],
  ])('%s runs the command with settings that it takes', (name, cpu, memory) => {
    const { spec } = parse(read(name));
    const pod = spec.template.spec;
    const [container] = pod.containers;
    expect([spec.backoffLimit, pod.restartPolicy, pod.serviceAccountName]).toEqual([0, 'Never', 'dynamo-sa']);
    expect(container.resources.requests).toEqual({ cpu, memory });
    const names = new Map(Object.keys(command.settings).map((setting) => [flagName(setting), setting]));
    const flags: Record<string, unknown> = {};
    for (const argument of container.args as string[]) {
      const [flag, value = true] = argument.split('=');
      if (flag === '--config') continue;
      expect(names.has(flag!)).toBe(true);
      flags[names.get(flag!)!] = value;
    }
    const settings = resolveSettings(command.settings, { flags, env: {} });
    checkSlaSettings(settings);
    expect([settings.target, settings.namespace, settings.outputDir]).toEqual([
      'kubernetes',
      'prod',
      '/data/profiling_results',
    ]);
    expect(pod.volumes[0].persistentVolumeClaim.claimName).toBe(
      parse(read('profiler-pvc.yaml')).metadata.name,
    );
  });

  test('allow what the profiler does, and nothing more', () => {
    const documents = parseAllDocuments(read('profiler-rbac.yaml')).map((document) => document.toJS());
    const bound = new Set(documents.flatMap(({ roleRef }) => roleRef?.name ?? []));
    const allowed = documents
      .filter(({ kind, metadata }) => /Role$/.test(kind) && bound.has(metadata.name))
      .flatMap(({ rules }) => rules)
      .flatMap(({ resources, verbs }: { resources: string[]; verbs: string[] }) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`)),
      );
    expect(allowed).toEqual([
      'get dynamographdeployments',
      'list dynamographdeployments',
      'watch dynamographdeployments',
      'create dynamographdeployments',
      'delete dynamographdeployments',
      'list pods',
      'get pods/log',
      'list nodes',
    ]);
  });
});
