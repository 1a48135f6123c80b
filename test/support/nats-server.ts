import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/transport/free-port.ts';

const PATH = `${process.env.PATH}:/usr/sbin`;
const START_MS = 20_000;

export interface NatsServerOptions {
  readonly config?: string;
  readonly args?: readonly string[];
}

/** Debian's NATS server with JetStream on a free port, which it keeps across restarts; stop it when done. */
export class NatsServer {
  readonly port: number;
  readonly #folder: string;
  readonly #more: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, folder: string, more: readonly string[]) {
    this.port = port;
    this.#folder = folder;
    this.#more = more;
  }

  /** `config` is the text of its configuration file, `args` come beside it. */
  static async start({ config, args = [] }: NatsServerOptions = {}): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'kvasir-nats-'));
    const file = join(folder, 'server.conf');
    if (config !== undefined) await writeFile(file, config);
    const more = config === undefined ? args : ['-c', file, ...args];
    const server = new NatsServer(await freePort(), folder, more);
    await server.resume();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it again after {@link kill}; what it held in memory is lost. */
  async resume(): Promise<void> {
    const args = ['-js', '-a', '127.0.0.1', '-p', String(this.port), '-sd', this.#folder, ...this.#more];
    this.#child = spawn('nats-server', args, { stdio: 'ignore', env: { ...process.env, PATH } });
    const deadline = performance.now() + START_MS;
    while (!(await this.#answers())) {
      if (performance.now() > deadline) throw new Error('nats-server does not listen');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = createConnection(this.port, '127.0.0.1');
      socket.once('data', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }
}
