/** Tier of each medium that engines name, in upper case. */
const TIERS = {
  GPU: 'device',
  DEVICE: 'device',
  CPU: 'host_pinned',
  CPU_PINNED: 'host_pinned',
  CPU_TIER1: 'host_pinned',
  CPU_TIER2: 'disk',
  DISK: 'disk',
  NVME: 'disk',
  STORAGE: 'disk',
  EXTERNAL: 'external',
  NETWORK: 'external',
  REMOTE: 'external',
  SHARED: 'external',
} as const;

/** What vLLM calls each tier. */
export const MEDIUM_OF_TIER: Readonly<Record<MediumTier, string>> = {
  device: 'GPU',
  host_pinned: 'CPU',
  disk: 'STORAGE',
  external: 'EXTERNAL',
};

export type MediumTier = (typeof TIERS)[keyof typeof TIERS];

/** The tier an event's medium stands for, in any case; undefined for a medium nobody can place (drop it). */
export function tierOfMedium(medium: string | undefined): MediumTier | undefined {
  if (medium === undefined || medium === '' || medium === 'GPU') return 'device';
  const name = medium.toUpperCase();
  return Object.hasOwn(TIERS, name) ? TIERS[name as keyof typeof TIERS] : undefined;
}
