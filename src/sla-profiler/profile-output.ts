import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Svg } from '../plot/svg.ts';
import { removeLeftovers, writeFileAtomic } from '../transport/atomic-file.ts';
import { makeFolder } from '../transport/folder.ts';
import type { ProfilePhase } from './phases.ts';
import type { EngineOrder } from './target.ts';

/** Whole-page charts are rendered at print size. */
const PNG_SCALE = 1.5;
const LOG_FILE = 'profile_sla.log';
const STATUS_FILE = 'profiler_status.yaml';

/** Makes PNG bytes of a chart, `scale` pixels per SVG unit. */
export interface ChartRenderer {
  render(svg: Svg, scale: number): Uint8Array;
}

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
  readonly #say: (line: string) => void;
  readonly #log: Log;
  #written: Promise<void> = Promise.resolve();
  #phase: ProfileStatus['phase'] = 'Initializing';

  private constructor(dir: string, logFile: FileHandle, say: (line: string) => void, log: Log) {
    this.dir = dir;
    this.#logFile = logFile;
    this.#say = say;
    this.#log = log;
  }

  /** `say` shows each line of the log to whoever watches the run. */
  static async open(dir: string, say: (line: string) => void, log: Log): Promise<ProfileOutput> {
    try {
      makeFolder(dir);
      await removeLeftovers(dir);
      return new ProfileOutput(dir, await open(join(dir, LOG_FILE), 'a'), say, log);
    } catch (thrown) {
      throw fail(
        'KV_SETTING_INVALID',
        {
          setting: '--output-dir',
          value: dir,
          reason: `cannot be written (${toError(thrown).message})`,
          mend: 'Name a folder that can be made and written.',
        },
        thrown,
      );
    }
  }

  /** One line for the watcher and in the log file, in the form that operators’ scripts parse. */
  log(text: string, now: Date = new Date()): void {
    const stamp = now.toISOString().slice(0, 19).replace('T', ' ');
    const line = `${stamp} - __main__ - INFO - ${text}`;
    this.#say(line);
    // One after the other: appends that overlap may land in any order.
    this.#written = this.#written.then(() => this.#logFile.appendFile(`${line}\n`));
  }

  write(name: string, content: string | Uint8Array): Promise<void> {
    return writeFileAtomic(join(this.dir, name), content);
  }

  /** Written after whatever was before; one that cannot be written is no reason to lose the run. */
  status(status: ProfileStatus, now: Date = new Date()): void {
    this.#phase = status.phase;
    this.#written = this.#written.then(() => this.#writeStatus(status, now));
  }

  /** The run has ended badly, in the phase that was told last. */
  failed(thrown: unknown): void {
    this.status({ status: 'failed', error: toError(thrown).message, phase: this.#phase });
  }

  async #writeStatus(status: ProfileStatus, now: Date): Promise<void> {
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

  /** Each chart as SVG and, given a renderer, as PNG; equal ones under several names are rendered once. */
  async charts(charts: Readonly<Record<string, Svg>>, renderer: ChartRenderer | undefined): Promise<void> {
    const rendered = new Map<Svg, Uint8Array>();
    for (const [name, svg] of Object.entries(charts)) {
      await this.write(`${name}.svg`, svg);
      if (renderer === undefined) continue;
      const png = rendered.get(svg) ?? renderer.render(svg, PNG_SCALE);
      rendered.set(svg, png);
      await this.write(`${name}.png`, png);
    }
  }

  async close(): Promise<void> {
    try {
      await this.#written;
    } finally {
      await this.#logFile.close();
    }
  }
}
