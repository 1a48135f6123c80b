import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../../src/transport/free-port.ts';
import { eventually } from './until.ts';

/** One target to scrape, under a job of its own. */
export interface ScrapeTarget {
  readonly job: string;
  /** Base URL; `/metrics` of it is scraped. */
  readonly url: string;
  /** Labels added to every series, as relabelling of pods would. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface RecordingRule {
  readonly group: string;
  readonly record: string;
  readonly expr: string;
}

export interface PrometheusOptions {
  readonly targets: readonly ScrapeTarget[];
  readonly rules?: readonly RecordingRule[];
  readonly intervalS?: number;
  /** OpenMetrics text with times: what was scraped in the past. */
  readonly past?: string;
}

/** One series of an instant query. */
export interface QuerySample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface ApiAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data: unknown;
}

const PATH = `${process.env.PATH}:/usr/sbin`;
const START_MS = 30_000;
const STOP_MS = 10_000;

/** Debian's Prometheus on a free port with a temporary configuration; stop it when done. */
export class Prometheus {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  /** Starts it and waits until it answers. Whether it is there at all is asked of `realPart('prometheus')`. */
  static async start(options: PrometheusOptions): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'kvasir-prometheus-'));
    await writeFile(join(folder, 'rules.yml'), rulesFile(options));
    await writeFile(join(folder, 'prometheus.yml'), configFile(options));
    if (options.past !== undefined) await backfill(folder, options.past);
    const port = await freePort();
    const args = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--storage.tsdb.retention.time=100y',
      '--log.level=warn',
    ];
    const child = spawn('prometheus', args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, PATH },
    });
    let log = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
    const running = new Prometheus(`http://127.0.0.1:${port}`, child, folder);
    try {
      await eventually(
        () => `prometheus is ready: ${log}`,
        () => running.#isReady(),
        START_MS,
      );
    } catch (thrown) {
      await running.stop();
      throw thrown;
    }
    return running;
  }

  /** Evaluates an expression now; scalars and vectors alike. */
  async query(expression: string): Promise<readonly QuerySample[]> {
    const data = (await this.#get('query', { query: expression })) as {
      readonly resultType: string;
      readonly result: unknown;
    };
    if (data.resultType === 'scalar') {
      const [, value] = data.result as [number, string];
      return [{ labels: {}, value: Number(value) }];
    }
    const series = data.result as readonly { metric: Record<string, string>; value: [number, string] }[];
    return series.map(({ metric, value }) => ({ labels: metric, value: numberOf(value[1]) }));
  }

  /** Values of a label over the series that match. */
  async labelValues(label: string, match: string): Promise<readonly string[]> {
    return (await this.#get(`label/${label}/values`, { 'match[]': match })) as readonly string[];
  }

  /** Health and last error of each scraped target, by job. */
  async targets(): Promise<ReadonlyMap<string, { readonly health: string; readonly lastError: string }>> {
    const { activeTargets } = (await this.#get('targets', {})) as {
      readonly activeTargets: readonly {
        readonly labels: Record<string, string>;
        readonly health: string;
        readonly lastError: string;
      }[];
    };
    return new Map(
      activeTargets.map(({ labels, health, lastError }) => [labels.job ?? '', { health, lastError }]),
    );
  }

  async stop(): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined && this.#child.exitCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      process.kill(pid, 'SIGTERM');
      const timer = setTimeout(() => process.kill(pid, 'SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(timer);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #isReady(): Promise<boolean> {
    if (this.#child.exitCode !== null) throw new Error(`prometheus exited with ${this.#child.exitCode}`);
    try {
      return (await fetch(`${this.url}/-/ready`)).ok;
    } catch {
      return false;
    }
  }

  async #get(path: string, parameters: Readonly<Record<string, string>>): Promise<unknown> {
    const response = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as ApiAnswer;
    if (answer.status !== 'success')
      throw new Error(`${path} ${JSON.stringify(parameters)}: ${answer.error}`);
    return answer.data;
  }
}

/** What `promtool check metrics` says of a text: whether it could be read, and its lint findings, sorted. */
export function promtoolCheck(text: string): {
  readonly parsed: boolean;
  readonly findings: readonly string[];
} {
  const { status, stderr, error } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
    env: { ...process.env, PATH },
    maxBuffer: 1 << 26,
  });
  if (error !== undefined) throw error;
  const findings = stderr.split('\n').filter((line) => line !== '');
  return { parsed: status === 0 || status === 3, findings: findings.sort() };
}

function configFile({ targets, intervalS = 1 }: PrometheusOptions): string {
  const interval = `${intervalS}s`;
  return stringify({
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: ['rules.yml'],
    scrape_configs: targets.map(({ job, url, labels }) => ({
      job_name: job,
      honor_labels: true,
      static_configs: [{ targets: [new URL(url).host], labels: labels ?? {} }],
    })),
  });
}

function rulesFile({ rules = [] }: PrometheusOptions): string {
  const names = [...new Set(rules.map(({ group }) => group))];
  const groups = names.map((name) => ({
    name,
    rules: rules.filter(({ group }) => group === name).map(({ record, expr }) => ({ record, expr })),
  }));
  return stringify({ groups });
}

async function backfill(folder: string, past: string): Promise<void> {
  const file = join(folder, 'past.txt');
  await writeFile(file, past);
  const args = ['tsdb', 'create-blocks-from', 'openmetrics', file, join(folder, 'data')];
  const { status, stderr } = spawnSync('promtool', args, { encoding: 'utf8', env: { ...process.env, PATH } });
  if (status !== 0) throw new Error(`promtool cannot backfill: ${stderr}`);
}

function numberOf(text: string): number {
  return text === '+Inf'
    ? Number.POSITIVE_INFINITY
    : text === '-Inf'
      ? Number.NEGATIVE_INFINITY
      : Number(text);
}
