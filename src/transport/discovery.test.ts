import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { type Clock, RealClock, VirtualClock } from '../base/clock.ts';
import { SILENT_LOG } from '../base/log.ts';
import { type ModelCard, modelList } from '../formats/openai/model-card.ts';
import { bareInstance, type DiscoveryChange } from './discovery.ts';
import { MemoryDiscovery } from './discovery-memory.ts';
import { StaticDiscovery } from './discovery-static.ts';
import { type EngineSpec, parseEngineSpec } from './engine-spec.ts';
import { HttpClient } from './http-client.ts';
import { HttpServer } from './http-server.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const CARD: ModelCard = {
  id: 'm',
  ownedBy: 'vllm',
  contextLength: 4096,
  parent: undefined,
  engine: undefined,
};

interface EngineState {
  cards: ModelCard[];
  health: number;
  /** How often it was asked for its models. */
  looks?: number;
  metrics?: string;
  serverInfo?: object;
  /** Where SGLang's account of itself is; versions differ. */
  serverInfoAt?: '/server_info' | '/get_server_info';
}

/** A server that answers as an engine; its state may be changed while it runs. */
async function startEngine(state: EngineState, port = 0): Promise<HttpServer> {
  const server = new HttpServer({ host: '127.0.0.1', port, portFlag: '--http-port', log: SILENT_LOG });
  server.app.get('/v1/models', async () => {
    state.looks = (state.looks ?? 0) + 1;
    return modelList(state.cards.map((card) => ({ ...card, created: 1 })));
  });
  server.app.get('/health', async (_request, reply) => reply.code(state.health).send());
  server.app.get('/metrics', async (_request, reply) => reply.type('text/plain').send(state.metrics ?? ''));
  server.app.get(state.serverInfoAt ?? '/get_server_info', async () => state.serverInfo ?? {});
  await server.start();
  cleanups.push(() => server.stop(0));
  return server;
}

function discover(
  engines: readonly EngineSpec[],
  clock: Clock = new RealClock(),
): {
  changes: DiscoveryChange[];
  discovery: StaticDiscovery;
} {
  const client = new HttpClient();
  const discovery = new StaticDiscovery({
    engines,
    client,
    clock,
    log: SILENT_LOG,
    workerIdOf: (url) => `id-of-${url}`,
    probeIntervalMs: 20,
  });
  const changes: DiscoveryChange[] = [];
  discovery.watch((change) => changes.push(change));
  discovery.start();
  cleanups.push(
    () => client.stop(),
    () => discovery.stop(),
  );
  return { changes, discovery };
}

describe('static discovery', () => {
  test('asks an engine for what the spec leaves out', async () => {
    const lora = { ...CARD, id: 'm-lora', parent: 'm' };
    const { url } = await startEngine({ cards: [lora, CARD], health: 200 });
    const { changes } = discover([parseEngineSpec(`${url},block-size=16,kv-events=tcp://h:5557`)]);
    await until(() => changes.length > 0);
    expect(changes).toEqual([
      {
        kind: 'added',
        instance: {
          ...bareInstance(`id-of-${url}`, url),
          models: ['m'],
          loras: ['m-lora'],
          kind: 'vllm',
          blockSize: 16,
          kvEvents: 'tcp://h:5557',
          contextLength: 4096,
        },
      },
    ]);
  });

  test('takes the facts of a Kvasir worker, and what the spec says before them', async () => {
    const engine = {
      blockSize: 64,
      dpSize: 2,
      role: 'decode',
      kvEvents: 'tcp://0.0.0.0:5557',
      replay: 'tcp://127.0.0.1:6557',
      snapshot: '/kv/snapshot',
      totalKvBlocks: 1000,
      maxNumSeqs: 64,
      maxNumBatchedTokens: 8192,
      tokenizer: 'byte',
    } as const;
    const { url } = await startEngine({ cards: [{ ...CARD, ownedBy: 'kvasir', engine }], health: 200 });
    const { changes } = discover([parseEngineSpec(`${url},block-size=32,model=alias`)]);
    await until(() => changes.length > 0);
    expect(changes[0]?.instance).toEqual({
      ...bareInstance(`id-of-${url}`, url),
      ...engine,
      models: ['alias', 'm'],
      kind: 'kvasir',
      blockSize: 32,
      kvEvents: 'tcp://127.0.0.1:5557',
      snapshot: `${url}/kv/snapshot`,
      contextLength: 4096,
    });
  });

  test('knows TensorRT-LLM by its name, and reads its JSON', async () => {
    const stats = { kvCacheStats: { usedNumBlocks: 5, maxNumBlocks: 50, tokensPerBlock: 32 } };
    const cards = [{ ...CARD, ownedBy: 'tensorrt_llm' }];
    const { url } = await startEngine({ cards, health: 200, metrics: JSON.stringify([stats]) });
    const { changes } = discover([parseEngineSpec(url)]);
    await until(() => changes.length > 0);
    expect(changes[0]!.instance).toMatchObject({
      kind: 'trtllm',
      blockSize: 32,
      totalKvBlocks: 50,
      dpSize: 1,
    });
  });

  test.each(['/server_info', '/get_server_info'] as const)(
    'asks SGLang’s server at %s where its events are, and what its role is',
    async (serverInfoAt) => {
      const events = { publisher: 'zmq', endpoint: 'tcp://*:5557' };
      const info = {
        page_size: 4,
        dp_size: 2,
        disaggregation_mode: 'decode',
        kv_events_config: JSON.stringify(events),
      };
      const cards = [{ ...CARD, ownedBy: 'sglang' }];
      const server = await startEngine({ cards, health: 200, serverInfo: info, serverInfoAt });
      const { changes } = discover([parseEngineSpec(server.url)]);
      await until(() => changes.length > 0);
      const told = {
        kind: 'sglang',
        role: 'decode',
        blockSize: 4,
        dpSize: 2,
        kvEvents: 'tcp://127.0.0.1:5557',
      };
      expect(changes[0]!.instance).toMatchObject(told);
    },
  );

  test('takes cache sizes and ranks from the metrics of an engine that tells them nowhere else', async () => {
    const rank = (engine: number): string =>
      `vllm:cache_config_info{block_size="32",engine="${engine}",num_gpu_blocks="2048"} 1.0\n`;
    const { url } = await startEngine({ cards: [CARD], health: 200, metrics: rank(0) + rank(1) });
    const { changes } = discover([parseEngineSpec(url)]);
    await until(() => changes.length > 0);
    expect(changes[0]?.instance).toMatchObject({ blockSize: 32, totalKvBlocks: 2048, dpSize: 2 });
  });

  test('waits for an engine that starts late, tells changes, and gives up one that dies', async () => {
    const state: EngineState & { looks: number } = { cards: [], health: 503, looks: 0 };
    const server = await startEngine(state);
    const { changes, discovery } = discover([parseEngineSpec(server.url)]);
    await until(() => state.looks >= 2);
    expect(changes).toEqual([]);
    state.cards = [CARD];
    const before = state.looks;
    discovery.suspect(`id-of-${server.url}`);
    await until(() => state.looks >= before + 3);
    expect(changes).toEqual([]);
    state.health = 200;
    await until(() => changes.length === 1);
    state.cards = [CARD, { ...CARD, id: 'm2' }];
    await until(() => changes.length === 2);
    await server.stop(0);
    await until(() => changes.length === 3);
    await startEngine(state, Number(new URL(server.url).port));
    await until(() => changes.length === 4);
    expect(changes.map(({ kind, instance }) => [kind, instance.models])).toEqual([
      ['added', ['m']],
      ['changed', ['m', 'm2']],
      ['removed', ['m', 'm2']],
      ['added', ['m', 'm2']],
    ]);
  });

  test('looks at once, whatever its next turn, when somebody is in a hurry', async () => {
    const state: EngineState & { looks: number } = { cards: [CARD], health: 503, looks: 0 };
    const { url } = await startEngine(state);
    // Whose time stands still: no turn ever comes by itself.
    const { changes, discovery } = discover([parseEngineSpec(url)], new VirtualClock());
    await until(() => state.looks === 1);
    state.health = 200;
    await until(() => {
      discovery.hurry();
      return changes.length === 1;
    });
  });
});

describe('memory discovery', () => {
  test('tells a late listener what is there, and each change once', async () => {
    const discovery = new MemoryDiscovery();
    const a = bareInstance('1', 'http://a');
    discovery.put(a);
    const changes: string[] = [];
    const stop = discovery.watch(({ kind, instance }) => changes.push(`${kind} ${instance.workerId}`));
    discovery.put({ ...a });
    discovery.put({ ...a, blockSize: 16 });
    discovery.put(bareInstance('2', 'http://b'));
    expect(discovery.remove('1')).toBe(true);
    expect(discovery.remove('1')).toBe(false);
    stop();
    discovery.remove('2');
    expect(changes).toEqual(['added 1', 'changed 1', 'added 2', 'removed 1']);
  });
});
