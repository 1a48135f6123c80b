import type { TransferSettings } from '../engine/engine-settings.ts';

/**
 * How long a prompt's KV travels: bytes over bandwidth (decimal GB/s), or the fixed latency where either is not
 * known. Links are not shared and transfers do not overlap with computing, as in the reference.
 */
export function transferNs(
  { kvBytesPerToken, bandwidthGBps, timingMode }: TransferSettings,
  promptTokens: number,
  missingTokens: number,
  fixedLatencyMs: number,
): number {
  if (
    !(
      kvBytesPerToken !== undefined &&
      kvBytesPerToken > 0 &&
      bandwidthGBps !== undefined &&
      bandwidthGBps > 0
    )
  )
    return Math.round(fixedLatencyMs * 1e6);
  const tokens = timingMode === 'destination_missing' ? missingTokens : promptTokens;
  return Math.round((tokens * kvBytesPerToken) / bandwidthGBps);
}
