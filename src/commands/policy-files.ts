import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { SettingsOf } from '../base/settings.ts';
import { decisionObserver } from '../kv/decision-lines.ts';
import type { RouterObserver } from '../kv/observer.ts';
import type { POLICY_FILE_SETTINGS } from '../kv/settings.ts';
import { PolicyFileMetrics } from '../metrics/policy-file-metrics.ts';
import type { ProcessMetrics } from '../metrics/process-metrics.ts';
import { RotatingLines } from '../transport/rotating-lines.ts';
import { type Learner, PolicyMemory } from './policy-memory.ts';

/** The files that routers keep, as far as they are asked for: what policies learned, and every decision. */
export interface PolicyFiles {
  /** Writes down what a router of this name does. */
  observe(router: string, blockSize: number): RouterObserver;
  /** Gives a policy back what it knew, and keeps it. */
  remember(router: string, learner: Learner): void;
  /** Writes what is not written yet. */
  stop(): Promise<void>;
}

export async function openPolicyFiles(
  settings: SettingsOf<typeof POLICY_FILE_SETTINGS>,
  { process, clock, log }: { readonly process: ProcessMetrics; readonly clock: Clock; readonly log: Log },
): Promise<PolicyFiles> {
  const { policyStateFile, policyStateSecs, decisionLogFile, decisionLogMaxBytes: maxBytes } = settings;
  const metrics = new PolicyFileMetrics(process);
  const lines =
    decisionLogFile === undefined ? undefined : new RotatingLines({ path: decisionLogFile, maxBytes, log });
  const memory =
    policyStateFile === undefined
      ? undefined
      : await PolicyMemory.open({
          path: policyStateFile,
          everyMs: 1000 * policyStateSecs,
          clock,
          log,
          metrics,
        });
  const stopRefreshing = process.onScrape(() => metrics.setDropped(lines?.dropped ?? 0));
  return {
    observe: (router, blockSize) =>
      lines === undefined ? {} : decisionObserver(router, blockSize, (line) => lines.write(line)),
    remember: (router, learner) => memory?.join(router, learner),
    async stop() {
      stopRefreshing();
      await memory?.stop();
      await lines?.stop();
    },
  };
}
