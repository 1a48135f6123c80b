import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Log } from '../base/log.ts';
import type { PngRenderer } from '../plot/png.ts';
import type { Svg } from '../plot/svg.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import type { ProfilePhase } from './pipeline.ts';
import type { EngineOrder } from './target.ts';

/** Whole-page charts are rendered at print size. */
const PNG_SCALE = 1.5;
const LOG_FILE = 'profile_sla.log';
const STATUS_FILE = 'profiler_status.yaml';

export interface ProfileStatus {
  readonly status: 'running' | 'success' | 'failed';
  readonly message?: string;
  readonly error?: string;
  readonly outputs?: Readonly<Record<string, string>>;
  readonly phase: ProfilePhase | 'Initializing';
}

/** The output folder: its log, its status file, and whatever is written into it. Owns the open log file. */
export class ProfileOutput {
  readonly dir: string;
  readonly #logFile: FileHandle;
  readonly #log: Log;
  readonly #pending: Promise<unknown>[] = [];

  private constructor(dir: string, logFile: FileHandle, log: Log) {
    this.dir = dir;
    this.#logFile = logFile;
    this.#log = log;
  }

  static async open(dir: string, log: Log): Promise<ProfileOutput> {
    await mkdir(dir, { recursive: true });
    return new ProfileOutput(dir, await open(join(dir, LOG_FILE), 'a'), log);
  }

  /** One line on stderr and in the log file, in the form that operators’ scripts parse. */
  log(line: string, now: Date = new Date()): void {
    const stamp = now.toISOString().slice(0, 19).replace('T', ' ');
    this.#pending.push(this.#logFile.appendFile(`${stamp} - __main__ - INFO - ${line}\n`));
    this.#log.info({}, line);
  }

  write(name: string, content: string | Uint8Array): Promise<void> {
    return writeFileAtomic(join(this.dir, name), content);
  }

  /** A status that cannot be written is no reason to lose the run. */
  async status(status: ProfileStatus, now: Date = new Date()): Promise<void> {
    const { status: state, message, error, outputs, phase } = status;
    const timestamp = `${now.toISOString().slice(0, 19)}Z`;
    const document = {
      status: state,
      timestamp,
      ...(message && { message }),
      ...(error && { error }),
      ...(outputs && { outputs }),
      phase,
    };
    try {
      await this.write(STATUS_FILE, stringify(document));
    } catch (thrown) {
      this.#log.warn({ error: String(thrown) }, 'the status file could not be written');
    }
  }

  writeEngineConfig(order: EngineOrder): Promise<void> {
    return writeFileAtomic(join(order.workDir, 'config.yaml'), order.deployment.toString());
  }

  /** Each chart as SVG and as PNG; equal ones under several names are rendered once. */
  async charts(charts: Readonly<Record<string, Svg>>, renderer: PngRenderer): Promise<void> {
    const rendered = new Map<Svg, Uint8Array>();
    for (const [name, svg] of Object.entries(charts)) {
      const png = rendered.get(svg) ?? renderer.render(svg, PNG_SCALE);
      rendered.set(svg, png);
      await this.write(`${name}.svg`, svg);
      await this.write(`${name}.png`, png);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pending);
    await this.#logFile.close();
  }
}
