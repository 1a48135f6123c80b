// Two real vLLM engines on the CPU behind Kvasir, see docs/guides/vllm.md:
//   node examples/vllm/run.mjs --python VENV/bin/python --model FOLDER [--blocks 600] [--requests 400] [--prefixes 32] [--concurrency 8]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    python: { type: 'string' },
    model: { type: 'string' },
    blocks: { type: 'string', default: '600' },
    requests: { type: 'string', default: '400' },
    prefixes: { type: 'string', default: '32' },
    concurrency: { type: 'string', default: '8' },
  },
});
if (options.python === undefined || options.model === undefined)
  throw new Error('usage: run.mjs --python VENV/bin/python --model FOLDER');

const KVASIR = fileURLToPath(new URL('../../dist/bin/kvasir.js', import.meta.url));
const LOGS = mkdtempSync(join(tmpdir(), 'kvasir-vllm-'));
const START_MS = 300_000;
const running = new Set();

/** Its own process group, so that an engine goes with all its workers. */
function start(name, command, args, env = {}) {
  const log = openSync(join(LOGS, `${name}.log`), 'a');
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function end(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  process.kill(-child.pid, signal);
  await gone;
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  for (const server of servers) server.close();
  return ports;
}

async function until(what, condition, child) {
  const deadline = Date.now() + START_MS;
  while (!(await condition().catch(() => false))) {
    if (child !== undefined && child.exitCode !== null) throw new Error(`${what} ended; see ${LOGS}`);
    if (Date.now() > deadline) throw new Error(`${what} took too long; see ${LOGS}`);
    await sleep(250);
  }
}

async function engine(name, [http, events, replay]) {
  const publish = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: `tcp://*:${events}`,
    replay_endpoint: `tcp://*:${replay}`,
  };
  const flags = {
    model: options.model,
    'served-model-name': 'tiny',
    host: '127.0.0.1',
    port: http,
    // vLLM's attention on CPUs takes multiples of 32.
    'block-size': 32,
    'num-gpu-blocks-override': options.blocks,
    'max-model-len': 2048,
    'max-num-seqs': 16,
    'kv-events-config': JSON.stringify(publish),
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  const entry = ['-m', 'vllm.entrypoints.openai.api_server', '--enforce-eager'];
  const always = ['--enable-prefix-caching', '--enable-prompt-tokens-details'];
  const child = start(name, options.python, [...entry, ...args, ...always], {
    HF_HUB_OFFLINE: '1',
    OMP_NUM_THREADS: '1',
    PYTHONHASHSEED: '0',
    VLLM_CPU_KVCACHE_SPACE: '1',
    VLLM_CPU_OMP_THREADS_BIND: 'nobind',
    VLLM_NO_USAGE_STATS: '1',
    VLLM_SERVER_DEV_MODE: '1',
  });
  const url = `http://127.0.0.1:${http}`;
  await until(name, async () => (await fetch(`${url}/health`)).ok, child);
  const spec = `${url},kv-events=tcp://127.0.0.1:${events},replay=tcp://127.0.0.1:${replay}`;
  return { child, url, spec: `${spec},tokenizer=${options.model}` };
}

/** A frontend that routes in this way. */
async function frontend(mode, engines, ...more) {
  const [port] = await freePorts(1);
  const specs = engines.flatMap(({ spec }) => ['--engine', spec]);
  const args = [KVASIR, 'frontend', ...specs, '--router-mode', mode, '--http-port', String(port), ...more];
  const child = start(`frontend-${mode}`, process.execPath, args);
  const url = `http://127.0.0.1:${port}`;
  const { length } = engines;
  await until('frontend', async () => {
    const { instances = [] } = await (await fetch(`${url}/health`)).json();
    return instances.length === length;
  });
  return { child, url };
}

async function kvasir(...args) {
  const child = spawn(process.execPath, [KVASIR, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  const [code] = await once(child, 'close');
  return { code, result: JSON.parse(out) };
}

async function load(url, requests, seed) {
  const shape = ['--isl', '64', '--prefix-len', '1024', '--prefixes', options.prefixes, '--osl', '8'];
  const run = ['--requests', String(requests), '--concurrency', options.concurrency, '--seed', String(seed)];
  const { result } = await kvasir('bench', '--url', url, ...shape, ...run, '--log-level', 'error');
  return result;
}

/** Samples of a family whose labels hold a text. */
async function samples(url, family, label = '') {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${family}{`) && line.includes(label))
    .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
}

const total = async (...args) => (await samples(...args)).reduce((sum, value) => sum + value, 0);
const exactRanks = (url) => total(url, 'kvasir_index_rank_state', 'state="exact"');

async function measure(mode, engines, ...more) {
  for (const { url } of engines) await fetch(`${url}/reset_prefix_cache`, { method: 'POST' });
  const { child, url } = await frontend(mode, engines, ...more);
  const result = await load(url, options.requests, 7);
  const row = {
    routing: [mode, ...more].join(' '),
    answered: result.completed,
    failed: result.failed,
    'KVE %': (100 * result.kve).toFixed(1),
    'best possible %': (100 * result.theoretical_kve).toFixed(1),
    'TTFT mean ms': result.mean_ttft_ms.toFixed(0),
    'events applied': await total(url, 'dynamo_component_kv_cache_events_applied'),
    'predicted tokens': await total(url, 'kvasir_router_predicted_cached_tokens_total'),
    'cached tokens': await total(url, 'kvasir_router_reported_cached_tokens_total'),
  };
  await end(child);
  return row;
}

/** Kills one of two engines under load, starts it again, and waits until its cache is known exactly. */
async function killAndRestart(engines, ports) {
  const { child, url } = await frontend('kv', engines, '--migration-limit', '3');
  const loading = load(url, options.requests, 11);
  await until('load', async () => (await total(url, 'dynamo_frontend_requests_total')) > 20);
  await end(engines[1].child, 'SIGKILL');
  const during = await loading;
  const restarted = await engine('engine-1', ports);
  await until('exactness', async () => (await exactRanks(url)) === 2);
  const after = await load(url, options.requests, 11);
  await end(child);
  return {
    engine: restarted,
    row: {
      'answered while killed': during.completed,
      'failed while killed': during.failed,
      reasons: during.errors.map(({ message, count }) => `${count} ${message}`).join('; '),
      'answered after restart': after.completed,
      'failed after restart': after.failed,
      'KVE % after restart': (100 * after.kve).toFixed(1),
    },
  };
}

try {
  console.log(`logs in ${LOGS}`);
  const ports = await freePorts(6);
  const engines = await Promise.all([
    engine('engine-0', ports.slice(0, 3)),
    engine('engine-1', ports.slice(3)),
  ]);
  const { code, result } = await kvasir('doctor', ...engines.flatMap(({ spec }) => ['--engine', spec]));
  const findings = [...result.engines.flatMap((each) => each.findings), ...result.fleet];
  console.table(findings.map(({ status, check, message }) => ({ status, check, message })));
  if (code !== 0) throw new Error('the doctor found something to mend');
  const rows = [await measure('round-robin', engines), await measure('kv', engines)];
  rows.push(await measure('kv', engines, '--router-prefill-load-scale', '4'));
  console.table(rows);
  const { row, engine: restarted } = await killAndRestart(engines, ports.slice(3));
  console.table([row]);
  await Promise.all([engines[0], restarted].map(({ child }) => end(child)));
} finally {
  for (const child of running) await end(child, 'SIGKILL');
}
