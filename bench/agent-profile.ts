import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeAgentTrace } from './agent-trace.ts';
import { type Bench, rounded } from './harness.ts';

/** All steps of the reference on 99 994 such events, its chart left out: measured for this project on two cores. */
const REFERENCE = { seconds: 1522, residentMb: 1061 };
const MAX_RESIDENT_MB = 500;
const FULL_EVENTS = 1_000_000;

interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly residentMb: number;
}

/** Runs the command in a process of its own, with every analysis on. */
function profile(input: string, outputDir: string): Promise<Cost> {
  const probe = `process.on('exit', () => { const u = process.resourceUsage(); require('node:fs').writeSync(3, JSON.stringify({ cpu: (u.userCPUTime + u.systemCPUTime) / 1e6, mb: u.maxRSS / 1024 })); });`;
  const entry = new URL('../src/bin/kvasir.ts', import.meta.url).pathname;
  const args = [
    '--import',
    'tsx',
    '--import',
    `data:text/javascript,import { createRequire } from 'node:module'; const require = createRequire('file:///'); ${probe}`,
  ];
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [...args, entry, 'profile', 'agent', '--input', input, '--output-dir', outputDir],
    {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    },
  );
  let told = '';
  child.stdio[3]!.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`kvasir profile agent exited with ${code}`));
      const { cpu, mb } = JSON.parse(told) as { cpu: number; mb: number };
      resolve({ seconds: (performance.now() - started) / 1000, cpuSeconds: cpu, residentMb: mb });
    });
  });
}

async function measure(folder: string, events: number): Promise<Cost> {
  const input = join(folder, `${events}.json`);
  writeAgentTrace(input, events);
  const cost = await profile(input, join(folder, `out-${events}`));
  JSON.parse(readFileSync(join(folder, `out-${events}`, 'inference_optimization.json'), 'utf8'));
  rmSync(input);
  rmSync(join(folder, `out-${events}`), { recursive: true });
  return cost;
}

export const bench: Bench = {
  summary: 'every analysis of 100 k events, files and pictures included; the reference’s recorded seconds',
  floor: 20,
  async run({ quick }) {
    const folder = mkdtempSync(join(tmpdir(), 'agent-bench-'));
    try {
      const cost = await measure(folder, 100_000);
      const large = quick ? undefined : await measure(folder, FULL_EVENTS);
      const ratio = REFERENCE.seconds / cost.seconds;
      return {
        value: cost.seconds,
        baseline: REFERENCE.seconds,
        unit: 's',
        ratio,
        ok: ratio >= 20 && cost.residentMb <= MAX_RESIDENT_MB,
        details: {
          cpu_s: rounded(cost.cpuSeconds),
          resident_mb: rounded(cost.residentMb),
          reference_resident_mb: REFERENCE.residentMb,
          ...(large === undefined
            ? {}
            : {
                '1m_events_s': rounded(large.seconds),
                '1m_events_cpu_s': rounded(large.cpuSeconds),
                '1m_events_resident_mb': rounded(large.residentMb),
              }),
        },
      };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
