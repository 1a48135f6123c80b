import { expect, test } from 'vitest';
import { DEPLOYMENT } from '../../test/support/profile-sla.ts';
import type { MappingKind } from '../formats/deployment/backend.ts';
import { Deployment, type WorkerRole } from '../formats/deployment/deployment.ts';
import { LOCAL_COMMANDS, localCommand } from './local-command.ts';

const fill = (
  template: string,
  role: WorkerRole,
  kind: MappingKind,
  backend: 'vllm' | 'sglang' | 'trtllm' = 'vllm',
): string => {
  const deployment = Deployment.parse(DEPLOYMENT, 'd.yaml');
  const order = { role, mapping: { kind, gpus: 4 }, deployment, workDir: '' };
  return localCommand(template, order, { backend, model: 'acme/m', port: 7 }).join(' ');
};

test.each([
  ['vllm', 'prefill', 'tp', 'vllm serve acme/m --port 7 --no-enable-prefix-caching --tensor-parallel-size 4'],
  [
    'vllm',
    'decode',
    'dep',
    'vllm serve acme/m --port 7 --enable-prefix-caching --tensor-parallel-size 1 --data-parallel-size 4 --enable-expert-parallel',
  ],
  [
    'sglang',
    'prefill',
    'tep',
    'python3 -m sglang.launch_server --model-path acme/m --port 7 --disable-radix-cache --tp 4 --ep-size 4',
  ],
  ['trtllm', 'decode', 'tp', 'trtllm-serve acme/m --port 7 --tp_size 4'],
] as const)('the default command of %s for %s %s', (backend, role, kind, expected) => {
  expect(fill(LOCAL_COMMANDS[backend], role, kind, backend)).toBe(expected);
});

test('the arguments of the deployment are words of their own; what is not known stays', () => {
  expect(fill("run '{args}' {args} --at {kind}{gpus} {other}", 'decode', 'tp')).toBe(
    'run --model acme/tiny-8b --no-enable-prefix-caching --model acme/tiny-8b --no-enable-prefix-caching --at tp4 {other}',
  );
});
