import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { flagName, resolveSettings } from '../src/base/settings.ts';
import { command } from '../src/commands/frontend.ts';
import { enginesOf } from '../src/transport/kubernetes/endpoint-slices.ts';

// biome-ignore lint/suspicious/noExplicitAny: whatever the manifest holds
const read = (name: string): any[] =>
  parseAllDocuments(readFileSync(join(import.meta.dirname, '../deploy/kubernetes', name), 'utf8')).map(
    (each) => each.toJS(),
  );
// biome-ignore lint/suspicious/noExplicitAny: whatever the manifest holds
const kind = (documents: any[], name: string) => documents.find((each) => each.kind === name);

function frontendSettings() {
  const [container] = kind(read('serving-frontend.yaml'), 'Deployment').spec.template.spec.containers;
  const names = new Map(Object.keys(command.settings).map((setting) => [flagName(setting), setting]));
  const flags: Record<string, unknown> = {};
  for (const argument of container.args.slice(1) as string[]) {
    const [flag, value = true] = argument.split('=');
    expect(names.has(flag!), flag).toBe(true);
    flags[names.get(flag!)!] = value;
  }
  const env = Object.fromEntries(
    (container.env as { name: string; value?: string }[]).map(({ name, value = 'x' }) => [name, value]),
  );
  return resolveSettings(command.settings, { flags, env });
}

test('the frontend’s manifest gives flags and variables that the command takes', () => {
  expect(frontendSettings()).toMatchObject({
    discovery: 'kubernetes',
    routerReplicaSync: true,
    kubeNamespace: 'x',
    routerId: 'x',
    natsServer: 'nats://nats:4222',
  });
});

test('its role allows just what discovery asks for', () => {
  const { rules } = kind(read('serving-frontend.yaml'), 'Role');
  expect(rules).toEqual([
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ]);
});

test('the engines’ service makes slices in which discovery finds everything', () => {
  const { metadata, spec } = kind(read('serving-engines.yaml'), 'Service');
  const {
    kubeSelector,
    kubePort: api,
    kubeKvEventsPort: kvEvents,
    kubeReplayPort: replay,
  } = frontendSettings();
  const [label, value] = kubeSelector.split('=');
  expect(metadata.labels[label!]).toBe(value);
  const slice = {
    metadata,
    addressType: 'IPv4',
    ports: spec.ports,
    endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
  };
  const [engine] = enginesOf([slice], { api, kvEvents, replay }, expect.unreachable).values();
  expect(engine?.spec).toEqual({
    url: 'http://10.0.0.1:8000',
    kvEvents: 'tcp://10.0.0.1:5557',
    replay: 'tcp://10.0.0.1:6557',
    kind: 'vllm',
  });
});
