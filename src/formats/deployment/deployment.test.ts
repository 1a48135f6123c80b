import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import golden from '../../../test/golden/sla/config_modifiers.json' with { type: 'json' };
import {
  addFlag,
  argumentValue,
  removeArgument,
  setArgument,
  shellJoin,
  shellSplit,
  tokenize,
} from './arguments.ts';
import {
  type BackendName,
  convertToRole,
  frontendPort,
  type MappingKind,
  servedModel,
  setMapping,
} from './backend.ts';
import { backendOf } from './backends.ts';
import { Deployment, type WorkerRole } from './deployment.ts';

interface ServiceFacts {
  readonly args: unknown;
  readonly replicas: unknown;
  readonly resources: unknown;
  readonly subComponentType: unknown;
  readonly multinode: unknown;
}

const inputOf = (backend: BackendName): Deployment =>
  Deployment.parse(stringify(golden.inputs[backend]), `${backend}.yaml`);

/** The facts the golden file records of each service. */
function factsOf(deployment: Deployment): { metadata: object; services: Record<string, ServiceFacts> } {
  const services = deployment.serviceNames.map((name) => {
    const resources = deployment.get(name, 'resources') as { requests?: object; limits?: object } | undefined;
    const facts: ServiceFacts = {
      args: deployment.get(name, 'extraPodSpec', 'mainContainer', 'args') ?? null,
      replicas: deployment.get(name, 'replicas'),
      resources:
        resources === undefined
          ? null
          : { requests: resources.requests ?? null, limits: resources.limits ?? null },
      subComponentType: deployment.get(name, 'subComponentType') ?? null,
      multinode: deployment.get(name, 'multinode') ?? null,
    };
    return [name, facts] as const;
  });
  return { metadata: { name: deployment.name }, services: Object.fromEntries(services) };
}

describe('the config modifiers', () => {
  test.each(golden.cases.filter(({ op }) => op.startsWith('convert')))(
    'do $op for $backend',
    ({ backend: name, op, out }) => {
      const backend = backendOf(name as BackendName);
      const [, role, moe] = /convert\((\w+)(,moe)?\)/.exec(op)!;
      const converted = convertToRole(inputOf(backend.name), backend, role as WorkerRole, moe !== undefined);
      const width = /then (tp|tep|dep)=(\d+)/.exec(op);
      if (width !== null) {
        const service = converted.workerService('decode', backend.defaultServices.decode);
        setMapping(converted, backend, service, { kind: width[1] as MappingKind, gpus: Number(width[2]) }, 8);
      }
      expect(factsOf(converted)).toEqual(out);
    },
  );

  test.each(golden.cases.filter(({ op }) => !op.startsWith('convert')))(
    'read the $op of $backend',
    ({ backend: name, op, out }) => {
      const backend = backendOf(name as BackendName);
      expect(
        op === 'port'
          ? frontendPort(inputOf(backend.name), backend)
          : servedModel(inputOf(backend.name), backend),
      ).toBe(out);
    },
  );

  test('spell expert parallelism for vLLM', () => {
    const backend = backendOf('vllm');
    expect(backend.withMapping(['--model', 'm'], { kind: 'dep', gpus: 8 })).toEqual([
      '--model',
      'm',
      '--tensor-parallel-size',
      '1',
      '--data-parallel-size',
      '8',
      '--enable-expert-parallel',
    ]);
    expect(backend.withMapping([], { kind: 'tep', gpus: 4 })).toEqual([
      '--tensor-parallel-size',
      '4',
      '--data-parallel-size',
      '1',
      '--enable-expert-parallel',
    ]);
  });

  test('take the other names of a width as its own', () => {
    const sglang = backendOf('sglang');
    const wide = ['--tp-size', '8', '--dp-size=8', '--enable-dp-attention', '--ep', '8'];
    expect(sglang.withMapping(wide, { kind: 'tep', gpus: 4 })).toEqual(['--tp', '4', '--ep-size', '4']);
    expect(sglang.withMapping(wide, { kind: 'dep', gpus: 16 })).toEqual([
      ...['--tp', '16', '--dp=16', '--enable-dp-attention', '--ep-size', '16'],
    ]);
    expect(backendOf('vllm').withMapping(['-tp', '8'], { kind: 'tp', gpus: 2 })).toEqual([
      ...['--tensor-parallel-size', '2'],
    ]);
  });

  test('leave no role behind', () => {
    const args = ['--model', 'm', '--is-decode-worker', '--disaggregation-mode', 'decode'];
    expect(backendOf('vllm').toAggregated(args, 'decode', false)).toEqual([
      ...['--model', 'm', '--enable-prefix-caching'],
    ]);
  });

  test('refuse expert parallelism for TensorRT-LLM', () => {
    expect(() => backendOf('trtllm').withMapping([], { kind: 'dep', gpus: 8 })).toThrow(
      '--backend: trtllm has no dep mapping',
    );
  });
});

describe('Deployment', () => {
  const text = `# our deployment
apiVersion: nvidia.com/v1alpha1
kind: DynamoGraphDeployment
metadata: {name: d}
spec:
  unknownField: kept # really
  services:
    Frontend: {componentType: frontend}
    VllmDecodeWorker: # the big one
      extraPodSpec:
        mainContainer:
          args:
            - --model
            - acme/m # pinned
            - --max-num-seqs
            - "64"
    VllmPrefillWorker: {extraPodSpec: {mainContainer: {args: [--is-prefill-worker]}}}
`;

  test('keeps comments, unknown fields and quotes through an edit', () => {
    const deployment = Deployment.parse(text, 'd.yaml');
    setMapping(deployment, backendOf('vllm'), 'VllmDecodeWorker', { kind: 'tp', gpus: 2 });
    const written = deployment.toString();
    for (const kept of [
      '# our deployment',
      'unknownField: kept # really',
      '# the big one',
      'acme/m # pinned',
      '"64"',
    ])
      expect(written).toContain(kept);
    expect(deployment.arguments('VllmDecodeWorker').slice(-2)).toEqual(['--tensor-parallel-size', '2']);
  });

  test('does not change what it converts', () => {
    const base = Deployment.parse(text, 'd.yaml');
    convertToRole(base, backendOf('vllm'), 'prefill');
    expect(base.toString()).toBe(Deployment.parse(text, 'd.yaml').toString());
  });

  test.each([
    ['kind: ConfigMap', 'no document of kind DynamoGraphDeployment'],
    ['kind: [', 'd.yaml'],
    ['kind: DynamoGraphDeployment\nspec: {services: []}', 'spec has neither services'],
  ])('refuses %j', (broken, reason) => {
    expect(() => Deployment.parse(broken, 'd.yaml')).toThrow(reason);
  });

  test('names the services it has when a role is missing', () => {
    const deployment = Deployment.parse(
      'kind: DynamoGraphDeployment\nspec: {services: {Frontend: {}}}',
      'd.yaml',
    );
    expect(() => convertToRole(deployment, backendOf('vllm'), 'decode')).toThrow('(services: Frontend)');
  });
});

describe('a worker that a shell starts', () => {
  const text = (args: string): string => `kind: DynamoGraphDeployment
metadata: {name: d}
spec:
  services:
    Frontend: {componentType: frontend}
    VllmDecodeWorker:
      extraPodSpec:
        mainContainer:
          command: [/bin/sh, -c] # with a log
          args:
            - ${JSON.stringify(args)}
    VllmPrefillWorker: {extraPodSpec: {mainContainer: {args: [--is-prefill-worker]}}}
`;

  test('keeps its one line, with what is added before the pipe', () => {
    const line = `python3 -m dynamo.vllm --model "$MODEL" --extra '{"a": "b c"}' --tensor-parallel-size=1 2>&1 | tee /tmp/a.log`;
    const deployment = Deployment.parse(text(line), 'd.yaml');
    const converted = convertToRole(deployment, backendOf('vllm'), 'decode');
    setMapping(converted, backendOf('vllm'), 'VllmDecodeWorker', { kind: 'tp', gpus: 4 });
    expect(converted.get('VllmDecodeWorker', 'extraPodSpec', 'mainContainer', 'args')).toEqual([
      `python3 -m dynamo.vllm --model "$MODEL" --extra '{"a": "b c"}' --tensor-parallel-size=4 --enable-prefix-caching 2>&1 | tee /tmp/a.log`,
    ]);
    expect(converted.toString()).toContain('# with a log');
  });

  test('keeps its log when TensorRT-LLM gets options', () => {
    const line = 'python3 -m dynamo.trtllm --model-path m --disaggregation-mode decode 2>&1 | tee /tmp/a.log';
    const deployment = Deployment.parse(text(line).replace('[/bin/sh, -c]', '[bash, -lc]'), 'd.yaml');
    setMapping(deployment, backendOf('trtllm'), 'VllmDecodeWorker', { kind: 'tp', gpus: 4 });
    expect(deployment.container('VllmDecodeWorker', 'args')).toEqual([
      `python3 -m dynamo.trtllm --model-path m --disaggregation-mode decode --override-engine-args '{"tensor_parallel_size": 4}' 2>&1 | tee /tmp/a.log`,
    ]);
  });
});

describe('arguments', () => {
  test('are split as a shell would, JSON kept whole', () => {
    expect(tokenize(['--a "b c" d', '{"x": 1}', "it's"])).toEqual(['--a', 'b c', 'd', '{"x": 1}', "it's"]);
    expect(shellSplit(String.raw`a\ b 'c\d' "e\"f" ''`)).toEqual(['a b', String.raw`c\d`, 'e"f', '']);
    expect(tokenize(null)).toEqual([]);
  });

  test('go before a pipe', () => {
    expect(addFlag(['serve', '2>&1', '|', 'tee', 'log'], '--x')).toEqual([
      'serve',
      '--x',
      '2>&1',
      '|',
      'tee',
      'log',
    ]);
    expect(setArgument(['serve', '|', 'tee'], '--tp', '2')).toEqual(['serve', '--tp', '2', '|', 'tee']);
  });

  test('are joined so that a shell splits them alike', () => {
    const tokens = ['a b', "it's", 'plain', '{"x": 1}', ''];
    expect(shellSplit(shellJoin(tokens))).toEqual(tokens);
    expect(shellJoin(['run', '--m', '$HOME/a b', '2>&1', '|', 'tee', '>', 'log', '&&', 'x'])).toBe(
      'run --m "$HOME/a b" 2>&1 | tee > log && x',
    );
  });

  test('are set in the spelling that is there', () => {
    expect(setArgument(['--tp=1', '--x'], '--tp', '4')).toEqual(['--tp=4', '--x']);
    expect(setArgument(['--tp-size=1'], '--tp', '4')).toEqual(['--tp-size=1', '--tp', '4']);
    expect(setArgument(['--tp-size=1', '--x'], '--tp', '4', ['--tp-size'])).toEqual(['--tp=4', '--x']);
    expect(setArgument(['--tp-size', '8', '--x'], '--tp', '4', ['--tp-size'])).toEqual(['--tp', '4', '--x']);
  });

  test('are found and removed in both spellings', () => {
    expect(argumentValue(['--a=1', '--b', '2'], '--a')).toBe('1');
    expect(removeArgument(['--a=1', '--b', '2', '--c'], '--b')).toEqual(['--a=1', '--c']);
    expect(removeArgument(['--a=1', '--b', '--c'], '--b')).toEqual(['--a=1', '--c']);
  });
});
