import type { Random } from '../../src/base/random.ts';
import { freePort } from '../../src/transport/free-port.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { EventProxy, type Faults } from './event-proxy.ts';

/** One worker's place in the fleet: its addresses stay while its processes come and go. */
export interface Place {
  readonly role: 'prefill' | 'decode' | 'both';
  readonly url: string;
  readonly ports: { readonly http: number; readonly events: number; readonly replay: number };
  readonly proxy: EventProxy;
  readonly spec: string;
  process: KvasirProcess | undefined;
  /** Its process is ready and nobody has been told to end it. */
  up: boolean;
}

export interface FleetOptions {
  readonly workers: number;
  /** The first half computes prompts for the others. */
  readonly disaggregated: boolean;
  readonly random: Random;
  readonly workerArgs: readonly string[];
  readonly frontendArgs: readonly string[];
}

/** Workers and one frontend as processes on fixed ports, each worker's events behind a proxy. */
export class ChaosFleet {
  readonly places: Place[] = [];
  readonly #options: FleetOptions;
  #frontend: KvasirProcess | undefined;
  #frontendPort = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#frontendPort}`;
  }

  async start(): Promise<void> {
    const { workers, random, disaggregated } = this.#options;
    for (let i = 0; i < workers; i++) {
      const ports = { http: await freePort(), events: await freePort(), replay: await freePort() };
      const url = `http://127.0.0.1:${ports.http}`;
      const proxy = new EventProxy(`tcp://127.0.0.1:${ports.events}`, random);
      const role = !disaggregated ? 'both' : i < workers / 2 ? 'prefill' : 'decode';
      const spec = `${url},role=${role},kv-events=${await proxy.start()},replay=tcp://127.0.0.1:${ports.replay}`;
      this.places.push({ role, url, ports, proxy, spec, process: undefined, up: false });
    }
    await Promise.all(this.places.map((place) => this.startWorker(place)));
    this.#frontendPort = await freePort();
    await this.startFrontend();
  }

  async startWorker(place: Place): Promise<void> {
    const { http, events, replay } = place.ports;
    const address = (port: number): string => `tcp://127.0.0.1:${port}`;
    const process = new KvasirProcess([
      ...['worker', '--http-port', String(http), '--kv-events', address(events), '--replay', address(replay)],
      ...['--role', place.role, '--log-level', 'error', ...this.#options.workerArgs],
    ]);
    place.process = process;
    await process.json();
    place.up = true;
  }

  async startFrontend(): Promise<void> {
    this.#frontend = new KvasirProcess([
      ...['frontend', '--http-port', String(this.#frontendPort), '--log-level', 'error'],
      ...this.places.flatMap(({ spec }) => ['--engine', spec]),
      ...this.#options.frontendArgs,
    ]);
    await this.#frontend.json();
  }

  async endWorker(place: Place, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { process } = place;
    place.process = undefined;
    place.up = false;
    process?.signal(signal);
    await process?.exitCode();
  }

  /** Stops its process where it is, connections open, until it is woken. */
  hangWorker(place: Place): void {
    place.up = false;
    place.process?.signal('SIGSTOP');
  }

  wakeWorker(place: Place): void {
    place.process?.signal('SIGCONT');
    place.up = true;
  }

  async endFrontend(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const frontend = this.#frontend;
    this.#frontend = undefined;
    frontend?.signal(signal);
    await frontend?.exitCode();
  }

  /** What its processes said on stderr. */
  get complaints(): string {
    return [this.#frontend, ...this.places.map(({ process }) => process)]
      .map((process) => process?.stderr ?? '')
      .join('');
  }

  /** Who is up, for what goes wrong to be told with. */
  get shown(): string {
    return this.places
      .map(({ url, up, role }) => `${url.slice(17)} ${role} ${up ? 'up' : 'down'}`)
      .join(', ');
  }

  setFaults(faults: Faults): void {
    for (const { proxy } of this.places) proxy.setFaults(faults);
  }

  async stop(): Promise<void> {
    await this.endFrontend('SIGKILL');
    await Promise.all(this.places.map((place) => this.endWorker(place, 'SIGKILL')));
    await Promise.all(this.places.map(({ proxy }) => proxy.stop()));
  }
}
