import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import type { BackendName } from '../formats/deployment/backend.ts';
import { endLeftChildren, markChild, unmarkChild } from '../transport/child-mark.ts';
import { type ChildServer, launch, stopChild } from '../transport/child-server.ts';
import { makeFolder } from '../transport/folder.ts';
import { freePort } from '../transport/free-port.ts';
import { EndpointEngine } from './endpoint-engine.ts';
import { kvCapacityFromLog } from './kv-capacity.ts';
import { localCommand } from './local-command.ts';
import { attentionRanks } from './plan.ts';
import type { ProbeClient } from './probe-client.ts';
import type { EngineOrder, EngineUnderTest, ProfileTarget } from './target.ts';

const POLL_MS = 250;
const LOG_TAIL_CHARS = 300;

export interface LocalOptions {
  readonly backend: BackendName;
  /** Command line to fill in, see {@link localCommand}. */
  readonly command: string;
  readonly model: string;
  readonly readyTimeoutMs: number;
  readonly kvTokens: number | undefined;
  readonly client: ProbeClient;
  readonly clock: Clock;
}

/** Starts each engine as a child process of this one and stops it when its points are measured. */
export class LocalTarget implements ProfileTarget {
  readonly name = 'local';
  readonly identity: unknown;
  readonly takesLoad = true;
  readonly #options: LocalOptions;

  constructor(options: LocalOptions) {
    this.#options = options;
    this.identity = { command: options.command, model: options.model, kvTokens: options.kvTokens };
  }

  /** Ends what a killed run with the same output folder left running. */
  tidyUp(outputDir: string, log: (line: string) => void): Promise<void> {
    return endLeftChildren(outputDir, this.#options.clock, log);
  }

  async start(order: EngineOrder, signal: AbortSignal): Promise<EngineUnderTest> {
    const { command, model, kvTokens, client } = this.#options;
    const port = await freePort();
    const [program, ...args] = localCommand(command, order, { backend: this.#options.backend, model, port });
    makeFolder(order.workDir);
    const logPath = join(order.workDir, 'engine.log');
    const child = launch(program ?? '', args, logPath);
    const url = `http://127.0.0.1:${port}`;
    const stop = async (): Promise<void> => {
      client.forget(url);
      await stopChild(child);
      await unmarkChild(order.workDir);
    };
    try {
      if (child.process.pid !== undefined) await markChild(order.workDir, child.process.pid);
      await this.#untilReady(child, url, logPath, signal);
      const logged = kvCapacityFromLog(
        this.#options.backend,
        await readFile(logPath, 'utf8'),
        attentionRanks(order.mapping),
      );
      return new EndpointEngine({
        url,
        role: order.role,
        client,
        kvTokens: kvTokens ?? logged,
        signal,
        stop,
      });
    } catch (thrown) {
      await stop();
      throw thrown;
    }
  }

  async #untilReady(child: ChildServer, url: string, logPath: string, signal: AbortSignal): Promise<void> {
    const { clock, readyTimeoutMs, client } = this.#options;
    const startMs = clock.nowMs();
    const deadlineMs = startMs + readyTimeoutMs;
    let reason = 'it does not answer';
    while (clock.nowMs() < deadlineMs) {
      if (child.ended !== undefined) break;
      try {
        await client.facts(url);
        return;
      } catch (thrown) {
        reason = toError(thrown).message;
      }
      await sleepUntil(clock, clock.nowMs() + POLL_MS, signal);
    }
    // Its last words are in the file only once it is closed.
    if (child.ended !== undefined) await child.exited;
    const tail = (await readFile(logPath, 'utf8')).trim().slice(-LOG_TAIL_CHARS);
    const why = child.ended === undefined ? reason : endOf(child.ended);
    throw fail('KV_ENGINE_NOT_READY', {
      order: url,
      seconds: Math.round((clock.nowMs() - startMs) / 100) / 10,
      reason: tail === '' ? why : `${why}; its log ends with: ${tail}`,
    });
  }
}

function endOf(ended: string): string {
  const missing = /^spawn (.+) ENOENT$/.exec(ended)?.[1];
  return missing === undefined
    ? `it ended with ${ended}`
    : `there is no program ${missing}; install it, or give another command with --engine-command`;
}
