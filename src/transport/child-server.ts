import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';

/** A server of somebody else's that runs as a child of this process. */
export interface ChildServer {
  readonly process: ChildProcess;
  /** Resolves when it has ended and all that it said is in its log. */
  readonly exited: Promise<void>;
  /** How it ended: a signal, an exit code, or why it did not start; undefined while it runs. */
  ended: string | undefined;
}

/** From the polite signal to the other one. */
const STOP_GRACE_MS = 10_000;

/** Starts a program with its output going to a file; a program that is not there shows in `ended`. */
export function launch(
  program: string,
  args: readonly string[],
  logPath: string,
  env?: NodeJS.ProcessEnv,
): ChildServer {
  // A group of its own, so that the server's own children end with it.
  const process = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(env && { env }),
  });
  const log = createWriteStream(logPath);
  process.stdout.pipe(log, { end: false });
  process.stderr.pipe(log, { end: false });
  const launched: ChildServer = {
    process,
    ended: undefined,
    exited: new Promise((resolve) => {
      const settle = (how: string): void => {
        launched.ended ??= how;
        log.end(() => resolve());
      };
      process.once('error', (error) => settle(error.message));
      process.once('exit', (code, signal) => settle(signal ?? `exit code ${code}`));
    }),
  };
  return launched;
}

/** Asks it to end, and ends it when it does not. */
export async function stopChild(child: ChildServer): Promise<void> {
  if (child.ended !== undefined || child.process.pid === undefined) return child.exited;
  const group = -child.process.pid;
  process.kill(group, 'SIGTERM');
  const force = setTimeout(() => {
    if (child.ended === undefined) process.kill(group, 'SIGKILL');
  }, STOP_GRACE_MS);
  await child.exited;
  clearTimeout(force);
}
