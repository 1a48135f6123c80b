import type { FIELDS } from './event-draft.ts';

export type FieldName = Exclude<keyof typeof FIELDS, 'type'>;

/** How one version of an engine writes its batches. */
export interface Dialect {
  /** 2: no rank; 3: with it; map: with keys. */
  readonly batch: 2 | 3 | 'map';
  /** Positional events hold all fields of their version; map events leave optional ones out when unset. */
  readonly event: 'array' | 'map';
  readonly stored: readonly FieldName[];
  readonly removed: readonly FieldName[];
  /** Fields that a map event holds even when they are unset. */
  readonly required: readonly FieldName[];
  /** Signed engines write hashes from 2^63 on as negative; wide: nine bytes always. */
  readonly hashes: 'unsigned' | 'signed' | 'wide' | 'bytes';
  /**
   * Stores in tiers below the device: `described` as all others; `named` by their hashes alone, as bytes; undefined:
   * the version cannot tell of other tiers, so neither stores nor removes there are written.
   */
  readonly offloads: 'described' | 'named' | undefined;
}

const CORE = ['block_hashes', 'parent_block_hash', 'token_ids', 'block_size', 'lora_id'] as const;
const WITH_LORA_NAME = [...CORE, 'medium', 'lora_name'] as const;
const WITH_SPEC = [
  ...WITH_LORA_NAME,
  'extra_keys',
  'group_idx',
  'kv_cache_spec_kind',
  'kv_cache_spec_sliding_window',
] as const;
const REMOVED = ['block_hashes', 'medium', 'group_idx'] as const;

const VLLM_ARRAY: Dialect = {
  batch: 3,
  event: 'array',
  stored: WITH_SPEC,
  removed: REMOVED,
  required: [],
  hashes: 'unsigned',
  offloads: 'named',
};
const VLLM_MAP: Dialect = { ...VLLM_ARRAY, event: 'map', required: WITH_LORA_NAME };

const WITHOUT_MEDIUM: Dialect = {
  ...VLLM_ARRAY,
  batch: 2,
  stored: CORE,
  removed: ['block_hashes'],
  offloads: undefined,
};

/** Each is named for the version that began it. `kvasir` is vLLM's present form, and tells the cache salt. */
export const DIALECTS = {
  kvasir: { ...VLLM_MAP, stored: [...WITH_SPEC, 'cache_salt'], offloads: 'described' },
  'vllm-0.24': VLLM_MAP,
  'vllm-0.24-bytes': { ...VLLM_MAP, hashes: 'bytes' },
  'vllm-0.26': {
    ...VLLM_MAP,
    stored: [...WITH_SPEC, 'locality'],
    removed: [...REMOVED, 'locality'],
    offloads: 'described',
  },
  'vllm-main': {
    ...VLLM_MAP,
    stored: [...WITH_SPEC, 'locality', 'ownership', 'session_id'],
    removed: [...REMOVED, 'locality', 'ownership'],
    offloads: 'described',
  },
  'vllm-map-batch': { ...VLLM_MAP, batch: 'map' },
  'vllm-0.21': VLLM_ARRAY,
  'vllm-0.21-bytes': { ...VLLM_ARRAY, hashes: 'bytes' },
  'vllm-0.18': { ...VLLM_ARRAY, stored: [...WITH_LORA_NAME, 'extra_keys', 'group_idx'] },
  'vllm-0.17': {
    ...VLLM_ARRAY,
    stored: [...WITH_LORA_NAME, 'extra_keys'],
    removed: ['block_hashes', 'medium'],
  },
  'vllm-0.14': { ...VLLM_ARRAY, stored: WITH_LORA_NAME, removed: ['block_hashes', 'medium'] },
  'vllm-0.10': { ...VLLM_ARRAY, stored: [...CORE, 'medium'], removed: ['block_hashes', 'medium'] },
  'vllm-0.10-signed': {
    ...VLLM_ARRAY,
    stored: [...CORE, 'medium'],
    removed: ['block_hashes', 'medium'],
    hashes: 'signed',
  },
  'vllm-0.9': WITHOUT_MEDIUM,
  'sglang-2025': { ...WITHOUT_MEDIUM, hashes: 'signed' },
  'sglang-medium': {
    ...VLLM_ARRAY,
    stored: [...CORE, 'medium'],
    removed: ['block_hashes', 'medium'],
    hashes: 'signed',
    offloads: 'described',
  },
  'sglang-map': {
    ...VLLM_MAP,
    stored: [...CORE, 'medium', 'cache_salt', 'session_id'],
    removed: ['block_hashes', 'medium'],
    required: CORE,
    hashes: 'signed',
    offloads: 'described',
  },
  trtllm: {
    ...VLLM_MAP,
    stored: [
      'block_hashes',
      'parent_block_hash',
      'token_ids',
      'block_size',
      'lora_name',
      'cache_salt',
      'block_mm_infos',
    ],
    removed: ['block_hashes'],
    required: ['block_hashes', 'parent_block_hash', 'token_ids', 'block_size'],
    hashes: 'signed',
    offloads: undefined,
  },
  'llm-d-sim': {
    ...VLLM_ARRAY,
    stored: [...WITH_LORA_NAME, 'extra_keys'],
    removed: ['block_hashes', 'medium'],
    hashes: 'wide',
    offloads: 'described',
  },
} as const satisfies Record<string, Dialect>;

export type DialectName = keyof typeof DIALECTS;
export const DEFAULT_DIALECT: DialectName = 'vllm-0.24';
