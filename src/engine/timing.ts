import { fail } from '../base/errors.ts';
import type { EngineSettings } from './engine-settings.ts';

/** How long the two halves of a pass take, in ms before any speed-up. Sums run over the pass's requests. */
export interface Timing {
  /**
   * `requests` had prompt tokens scheduled; `inputTokens` sums their prompt tokens done by the end of this
   * pass, `prefixTokens` those that were cached or computed before it. Not asked when `requests` is 0.
   */
  prefillMs(requests: number, inputTokens: number, prefixTokens: number): number;
  /**
   * `requests` emit a token; `contextTokens` sums their lengths before it; `capacityTokens` is the size of the
   * rank's pool. Not asked when `requests` is 0.
   */
  decodeMs(requests: number, contextTokens: number, capacityTokens: number): number;
}

/** The measured H100 curves of the reference: quadratic in new tokens, in cache usage for decode. */
export const POLYNOMIAL_TIMING: Timing = {
  prefillMs(requests, inputTokens, prefixTokens) {
    const perRequest = Math.floor(inputTokens / requests) - Math.floor(prefixTokens / requests);
    const tokens = requests * perRequest;
    if (tokens <= 0) return 0;
    return 4.209989e-7 * tokens * tokens + 1.518344e-2 * tokens + 16.50142;
  },
  decodeMs(_requests, contextTokens, capacityTokens) {
    const usage = Math.min(1, contextTokens / capacityTokens);
    return -25.74 * usage * usage + 54.01 * usage + 5.74;
  },
};

/** Constant times, whatever the batch. */
export function fixedTiming(prefillMs: number, decodeMs: number): Timing {
  return { prefillMs: () => prefillMs, decodeMs: () => decodeMs };
}

/** A profile: TTFT by prompt length, ITL by (active KV tokens, context length); rows follow `activeKvTokens`. */
export interface ProfileGrid {
  readonly prefillIsl: Float64Array;
  readonly prefillTtftMs: Float64Array;
  readonly decodeActiveKvTokens: Float64Array;
  readonly decodeContextLength: Float64Array;
  /** Row-major, `decodeActiveKvTokens.length` rows of `decodeContextLength.length`. */
  readonly decodeItlMs: Float64Array;
}

/** Interpolates a measured grid, linearly extended beyond its edges. Axes must rise strictly. */
export function interpolatedTiming(grid: ProfileGrid): Timing {
  checkAxis('prefillIsl', grid.prefillIsl);
  checkAxis('decodeActiveKvTokens', grid.decodeActiveKvTokens);
  checkAxis('decodeContextLength', grid.decodeContextLength);
  const columns = grid.decodeContextLength.length;
  if (grid.prefillTtftMs.length !== grid.prefillIsl.length)
    throw malformed(
      `prefillTtftMs has ${grid.prefillTtftMs.length} values for ${grid.prefillIsl.length} lengths`,
    );
  if (grid.decodeItlMs.length !== columns * grid.decodeActiveKvTokens.length)
    throw malformed(`decodeItlMs has ${grid.decodeItlMs.length} values instead of rows times columns`);
  return {
    prefillMs(_requests, inputTokens, prefixTokens) {
      const tokens = inputTokens - prefixTokens;
      const at = segment(grid.prefillIsl, tokens);
      return Math.max(
        0,
        along(grid.prefillIsl, at, tokens, grid.prefillTtftMs[at]!, grid.prefillTtftMs[at + 1]!),
      );
    },
    decodeMs(requests, contextTokens) {
      const context = Math.floor(contextTokens / requests);
      const row = segment(grid.decodeActiveKvTokens, contextTokens);
      const column = segment(grid.decodeContextLength, context);
      const value = (r: number, c: number): number => grid.decodeItlMs[r * columns + c]!;
      const low = along(
        grid.decodeContextLength,
        column,
        context,
        value(row, column),
        value(row, column + 1),
      );
      const high = along(
        grid.decodeContextLength,
        column,
        context,
        value(row + 1, column),
        value(row + 1, column + 1),
      );
      return along(grid.decodeActiveKvTokens, row, contextTokens, low, high);
    },
  };
}

const MIN_DECODE_MS = 1;

/** Prefill part of a pass, in whole ns after the speed-up. */
export function prefillNs(settings: EngineSettings, requests: number, input: number, prefix: number): number {
  if (requests === 0 || settings.workerType === 'decode') return 0;
  return scaledNs(settings.timing.prefillMs(requests, input, prefix), settings.speedupRatio);
}

/** Decode part of a pass, in whole ns after both speed-ups; never under 1 ms before them. */
export function decodeNs(settings: EngineSettings, requests: number, contextTokens: number): number {
  if (requests === 0) return 0;
  const capacityTokens = settings.numGpuBlocks * settings.blockSize;
  const ms = settings.timing.decodeMs(requests, contextTokens, capacityTokens);
  const ratio =
    settings.speedupRatio === 0
      ? settings.decodeSpeedupRatio
      : settings.speedupRatio * settings.decodeSpeedupRatio;
  return scaledNs(Math.max(MIN_DECODE_MS, ms), ratio);
}

function scaledNs(ms: number, ratio: number): number {
  const ns = Math.round(ms * 1e6);
  return ratio > 0 && ratio !== 1 ? Math.round(ns / ratio) : ns;
}

/** Index of the segment of the axis that holds the value; the outer segments reach to infinity. */
function segment(axis: Float64Array, value: number): number {
  let low = 0;
  let high = axis.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (axis[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

function along(axis: Float64Array, at: number, x: number, from: number, to: number): number {
  const start = axis[at]!;
  return from + ((to - from) * (x - start)) / (axis[at + 1]! - start);
}

function checkAxis(name: string, axis: Float64Array): void {
  if (axis.length < 2) throw malformed(`${name} needs at least two points`);
  for (let i = 1; i < axis.length; i++) {
    if (!(axis[i]! > axis[i - 1]!)) throw malformed(`${name} does not rise at index ${i}`);
  }
}

function malformed(reason: string): Error {
  return fail('KV_FILE_MALFORMED', { path: 'timing profile', reason, mend: 'Profile the engine again.' });
}
