import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { ConnectorTelemetry } from '../connector/connector-telemetry.ts';
import type { Registry } from '../metrics/registry.ts';

/** A prompt's KV that came from another engine, or was given up on the way. */
export interface Transfer {
  readonly dpRank: number;
  readonly tokens: number;
  readonly durationMs: number;
  /** False if the request went away before its KV had arrived. */
  readonly arrived: boolean;
}

export interface TransferMeterOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly model: string;
  readonly dpSize: number;
  readonly blockSize: number;
  readonly kvBytesPerToken: number | undefined;
  /** As other engines know this one. */
  readonly engineId: string;
}

/** As often as vLLM writes its lines. */
const INTERVAL_MS = 10_000;
const CONNECTOR = 'NixlConnector';

/** What a simulated engine tells of its hand-overs, as vLLM's NIXL connector does; owns the timer of its lines. */
export class TransferMeter {
  readonly #options: TransferMeterOptions;
  #telemetry: ConnectorTelemetry | undefined;
  #cancel: () => void = () => {};
  #stopped = false;

  /** With `eager` the series exist at zero from the start; else from the first hand-over on. */
  constructor(options: TransferMeterOptions, eager: boolean) {
    this.#options = options;
    if (eager) this.#start();
  }

  take({ dpRank, tokens, durationMs, arrived }: Transfer): void {
    const { blockSize, kvBytesPerToken = 0 } = this.#options;
    const payload = arrived
      ? {
          transfer_duration: [durationMs / 1000],
          // The simulated link has no cost of posting.
          post_duration: [0],
          bytes_transferred: [tokens * kvBytesPerToken],
          num_descriptors: [Math.ceil(tokens / blockSize)],
        }
      : { num_failed_transfers: [1] };
    this.#start().observe(payload, dpRank);
  }

  /** Nobody fetched the KV of a prompt before its lease ran out. */
  expired(): void {
    this.#start().observe({ num_kv_expired_reqs: [1] });
  }

  /** Tells of what has not been told yet, and ends. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancel();
    this.#telemetry?.report();
  }

  #start(): ConnectorTelemetry {
    if (this.#telemetry !== undefined) return this.#telemetry;
    const { clock, log, registry, model: modelName, dpSize, engineId } = this.#options;
    this.#telemetry = new ConnectorTelemetry({
      connector: CONNECTOR,
      modelName,
      engines: Array.from({ length: dpSize }, (_, rank) => rank),
      registry,
      clock,
      log,
      engineId: (rank) => (dpSize > 1 ? `${engineId}_dp${rank}` : engineId),
    });
    this.#tick();
    return this.#telemetry;
  }

  #tick(): void {
    const { clock } = this.#options;
    if (this.#stopped) return;
    this.#cancel = clock.at(clock.nowMs() + INTERVAL_MS, () => {
      this.#telemetry?.report();
      this.#tick();
    });
  }
}
