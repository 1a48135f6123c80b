import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { stringify } from 'yaml';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type ChildServer, launch, stopChild } from './child-server.ts';
import { freePort } from './free-port.ts';
import type { HttpClient } from './http-client.ts';

/** Targets of one job, as `host:port`. */
export interface ScrapeJob {
  readonly job: string;
  readonly targets: readonly string[];
}

export interface PrometheusServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly portFlag: string;
  readonly jobs: readonly ScrapeJob[];
  /** Absolute paths. */
  readonly ruleFiles: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
}

const PROGRAM = 'prometheus';
/** Where distributions put it that do not have it on everybody's path. */
const FURTHER_FOLDERS = ['/usr/local/bin', '/usr/bin', '/usr/sbin'];
const SCRAPE_INTERVAL = '2s';
const READY_MS = 30_000;
const POLL_MS = 100;
const LOG_TAIL_CHARS = 300;

/** A Prometheus of this machine that scrapes the given targets while we run; what it recorded goes when it stops. */
export class PrometheusServer {
  readonly url: string;
  readonly #child: ChildServer;
  readonly #folder: string;
  #stopping = false;

  private constructor(url: string, child: ChildServer, folder: string, log: Log) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
    void child.exited.then(() => {
      if (!this.#stopping)
        log.warn({ ended: child.ended }, 'Prometheus has ended; nothing is scraped any more');
    });
  }

  /** Resolves when it answers. Throws KV_PORT_BUSY, or KV_PROGRAM_FAILED when it is not there or does not start. */
  static async start(options: PrometheusServerOptions, signal?: AbortSignal): Promise<PrometheusServer> {
    const { host, jobs, ruleFiles, env, log } = options;
    const port = options.port === 0 ? await freePort() : options.port;
    await requireFree(host, port, options.portFlag);
    const folder = await mkdtemp(join(tmpdir(), 'kvasir-prometheus-'));
    const config = {
      global: {
        scrape_interval: SCRAPE_INTERVAL,
        scrape_timeout: SCRAPE_INTERVAL,
        evaluation_interval: SCRAPE_INTERVAL,
      },
      rule_files: ruleFiles,
      scrape_configs: [...jobs, { job: PROGRAM, targets: [`${host}:${port}`] }].map(({ job, targets }) => ({
        job_name: job,
        static_configs: [{ targets }],
      })),
    };
    const configPath = join(folder, 'prometheus.yml');
    await writeFile(configPath, stringify(config));
    const args = [
      `--config.file=${configPath}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${host}:${port}`,
    ];
    const path = [env.PATH, ...FURTHER_FOLDERS].filter(Boolean).join(delimiter);
    const logPath = join(folder, 'prometheus.log');
    const child = launch(PROGRAM, args, logPath, { ...env, PATH: path });
    const server = new PrometheusServer(`http://${host}:${port}`, child, folder, log);
    try {
      await server.#untilReady(options, logPath, signal);
      return server;
    } catch (thrown) {
      await server.stop();
      throw thrown;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await stopChild(this.#child);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #untilReady(
    { client, clock }: PrometheusServerOptions,
    logPath: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const deadlineMs = clock.nowMs() + READY_MS;
    while (clock.nowMs() < deadlineMs && this.#child.ended === undefined) {
      const answer = await client.text(`${this.url}/-/ready`, { timeoutMs: READY_MS }).catch(() => undefined);
      if (answer?.status === 200) return;
      await sleepUntil(clock, clock.nowMs() + POLL_MS, signal);
    }
    // Its last words are in the file only once it is closed.
    if (this.#child.ended !== undefined) await this.#child.exited;
    const tail = (await readFile(logPath, 'utf8')).trim().slice(-LOG_TAIL_CHARS);
    const how = this.#child.ended ?? `no answer within ${READY_MS / 1000} s`;
    throw fail('KV_PROGRAM_FAILED', {
      program: PROGRAM,
      reason: tail === '' ? how : `${how}; its log ends with: ${tail}`,
      mend: 'Install Prometheus (Debian: apt-get install prometheus), or leave --with-prometheus out.',
    });
  }
}

/** Prometheus reports a busy port as one line among many of its log. */
function requireFree(host: string, port: number, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (cause) => reject(fail('KV_PORT_BUSY', { port, host, flag }, cause)));
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}
