/** Kinds of cache in which prefixes are found; all others hold something else. */
const MAIN_KINDS = ['full_attention', 'mla_attention', 'sink_full_attention'];
const OTHER_KINDS = [
  'sliding_window',
  'sliding_window_mla',
  'mamba',
  'chunked_local_attention',
  'encoder_only_attention',
  'cross_attention',
];

export type GroupRejection =
  | 'non_main_attention_kind'
  | 'unknown_kind'
  | 'non_main_attention_group'
  | 'unlearned_group_idx';

/** Which cache groups of one rank are main attention: stores name the kind, removes only the group. */
export class MainGroups {
  readonly #isMain = new Map<number, boolean>();

  /** Undefined when an event of this group counts, else why not. */
  reject(groupIdx: number | undefined, kind: string | undefined): GroupRejection | undefined {
    if (kind !== undefined) {
      const main = MAIN_KINDS.includes(kind);
      if (groupIdx !== undefined) this.#isMain.set(groupIdx, main);
      if (main) return undefined;
      return OTHER_KINDS.includes(kind) ? 'non_main_attention_kind' : 'unknown_kind';
    }
    if (groupIdx === undefined) return undefined;
    const learned = this.#isMain.get(groupIdx);
    if (learned !== undefined) return learned ? undefined : 'non_main_attention_group';
    return groupIdx === 0 ? undefined : 'unlearned_group_idx';
  }
}
