import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { ConnectorTelemetry } from '../connector/connector-telemetry.ts';
import type { TierTransfer } from '../engine/pass.ts';
import { MEDIUM_OF_TIER } from '../formats/kv-events/medium-tier.ts';
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
  /** It is a prefill or decode worker: there will be hand-overs. */
  readonly handsOver: boolean;
  /** It has storage tiers below its device. */
  readonly offloads: boolean;
}

/** As often as vLLM writes its lines. */
const INTERVAL_MS = 10_000;
const HANDOVER = 'NixlConnector';
const OFFLOAD = 'OffloadingConnector';
/** One that has both, as in vLLM. */
const BOTH = 'MultiConnector';

/**
 * What a simulated engine tells of its hand-overs and of copies between storage tiers, as vLLM's connectors do; owns
 * the timer of their lines.
 */
export class TransferMeter {
  readonly #options: TransferMeterOptions;
  readonly #telemetries = new Map<string, ConnectorTelemetry>();
  #cancel: () => void = () => {};
  #stopped = false;

  /** The series of what the worker is set up for exist at zero from the start; else from the first transfer on. */
  constructor(options: TransferMeterOptions) {
    this.#options = options;
    if (options.handsOver) this.#telemetryOf(HANDOVER);
    if (options.offloads) this.#telemetryOf(OFFLOAD);
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
    this.#observe(HANDOVER, payload, dpRank);
  }

  /** Blocks that went from one storage tier to another. */
  copied(dpRank: number, transfers: readonly TierTransfer[]): void {
    const payload: Record<string, { op_size: number; op_time: number }[]> = {};
    for (const { from, to, sizeBytes, durationNs } of transfers) {
      const direction = `${MEDIUM_OF_TIER[from]}_to_${MEDIUM_OF_TIER[to]}`;
      payload[direction] ??= [];
      payload[direction].push({ op_size: sizeBytes, op_time: durationNs / 1e9 });
    }
    this.#observe(OFFLOAD, payload, dpRank);
  }

  /** Nobody fetched the KV of a prompt before its lease ran out. */
  expired(): void {
    this.#observe(HANDOVER, { num_kv_expired_reqs: [1] }, 0);
  }

  /** Tells of what has not been told yet, and ends. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancel();
    this.#report();
  }

  #observe(connector: string, payload: Record<string, unknown>, dpRank: number): void {
    const telemetry = this.#telemetryOf(connector);
    const nested = this.#nameOf(connector) === BOTH;
    telemetry.observe(nested ? { [connector]: { data: payload } } : payload, dpRank);
  }

  /** The connector by which the engine is set up: one for all where it is set up for both. */
  #nameOf(connector: string): string {
    return this.#options.handsOver && this.#options.offloads ? BOTH : connector;
  }

  #telemetryOf(connector: string): ConnectorTelemetry {
    const name = this.#nameOf(connector);
    const known = this.#telemetries.get(name);
    if (known !== undefined) return known;
    const { clock, log, registry, model: modelName, dpSize, engineId } = this.#options;
    const telemetry = new ConnectorTelemetry({
      connector: name,
      modelName,
      engines: Array.from({ length: dpSize }, (_, rank) => rank),
      registry,
      clock,
      log,
      engineId: (rank) => (dpSize > 1 ? `${engineId}_dp${rank}` : engineId),
    });
    this.#telemetries.set(name, telemetry);
    if (this.#telemetries.size === 1) this.#tick();
    return telemetry;
  }

  #report(): void {
    for (const telemetry of this.#telemetries.values()) telemetry.report();
  }

  #tick(): void {
    const { clock } = this.#options;
    if (this.#stopped) return;
    this.#cancel = clock.at(clock.nowMs() + INTERVAL_MS, () => {
      this.#report();
      this.#tick();
    });
  }
}
