import { readFile, rename } from 'node:fs/promises';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { PolicyFileMetrics } from '../metrics/policy-file-metrics.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';

/** Whatever has a policy that may learn; both throw nothing but what they cannot use. */
export interface Learner {
  /** Undefined where nothing is learned. */
  policyState(): object | undefined;
  restorePolicy(state: unknown): void;
}

export interface PolicyMemoryOptions {
  readonly path: string;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PolicyFileMetrics;
}

const schema = z.strictObject({
  schema: z.literal('kvasir.policy-state'),
  version: z.literal(1),
  policies: z.record(z.string(), z.unknown()),
});
const MAX_KEPT = 256;

/**
 * Keeps what policies learn in one file, written beside and renamed, now and then and at the end. A file that cannot
 * be used is moved aside, never overwritten, and learning begins anew.
 */
export class PolicyMemory {
  readonly #options: PolicyMemoryOptions;
  readonly #learners = new Map<string, Learner>();
  /** States that nobody has asked for yet, such as those of models whose workers have not come back. */
  readonly #kept = new Map<string, unknown>();
  #cancel: (() => void) | undefined;
  #stopped = false;
  #saving: Promise<void> = Promise.resolve();
  #asides: Promise<void> = Promise.resolve();

  private constructor(options: PolicyMemoryOptions) {
    this.#options = options;
  }

  /** Reads the file, if there is one. */
  static async open(options: PolicyMemoryOptions): Promise<PolicyMemory> {
    const memory = new PolicyMemory(options);
    await memory.#load();
    memory.#schedule();
    return memory;
  }

  /** Gives a policy back what it knew under this name, and saves it from now on. */
  join(name: string, learner: Learner): void {
    const state = this.#kept.get(name);
    this.#kept.delete(name);
    this.#learners.set(name, learner);
    if (state === undefined || learner.policyState() === undefined) return;
    try {
      learner.restorePolicy(state);
      this.#options.log.info(
        { policy: name, path: this.#options.path },
        'policy goes on with what it had learned',
      );
    } catch (thrown) {
      // Copied aside whole: the next save would overwrite the only copy.
      this.#asides = this.#asides.then(() => this.#moveAside(`${name}: ${toError(thrown).message}`));
    }
  }

  /** Writes now. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write());
    return this.#saving;
  }

  /** Writes for the last time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.save();
  }

  #schedule(): void {
    const { clock, everyMs } = this.#options;
    if (this.#stopped) return;
    this.#cancel = clock.at(clock.nowMs() + everyMs, () => void this.save().then(() => this.#schedule()));
  }

  async #load(): Promise<void> {
    const { path } = this.#options;
    let source: string;
    try {
      source = await readFile(path, 'utf8');
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') await this.#moveAside(toError(thrown).message);
      return;
    }
    try {
      const { policies } = schema.parse(JSON.parse(source));
      for (const [name, state] of Object.entries(policies).slice(0, MAX_KEPT)) this.#kept.set(name, state);
    } catch (thrown) {
      const reason = thrown instanceof z.ZodError ? z.prettifyError(thrown) : toError(thrown).message;
      await this.#moveAside(reason);
    }
  }

  async #moveAside(reason: string): Promise<void> {
    const { path, log, metrics, clock } = this.#options;
    const aside = `${path}.refused-${new Date(clock.wallMs()).toISOString().replaceAll(':', '')}`;
    metrics.refused();
    try {
      await rename(path, aside);
      log.error({ path, aside, reason }, 'policy state refused and kept aside: learning begins anew');
    } catch (thrown) {
      log.error(
        { path, reason, move: toError(thrown).message },
        'policy state refused, and it cannot be moved',
      );
    }
  }

  async #write(): Promise<void> {
    const { path, log, metrics } = this.#options;
    await this.#asides;
    const learned = [...this.#learners].map(([name, learner]) => [name, learner.policyState()] as const);
    const states = [...this.#kept, ...learned.filter(([, state]) => state !== undefined)];
    if (states.length === 0) return;
    const content = { schema: 'kvasir.policy-state', version: 1, policies: Object.fromEntries(states) };
    try {
      await writeFileAtomic(path, `${JSON.stringify(content)}\n`);
      metrics.saved('success');
    } catch (thrown) {
      metrics.saved('error');
      log.error({ path, reason: toError(thrown).message }, 'policy state cannot be saved');
    }
  }
}
