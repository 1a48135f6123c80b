import { mix32 } from '../../base/random.ts';
import { Column } from './column.ts';

const NONE = 0;

/**
 * Distinct blocks of prompts, each known by what comes before it: from 1 up, in order of first sight. A prompt is
 * then one number, that of its last block. Some 30 bytes a block; at most `maxBlocks` are kept.
 */
export class BlockChains {
  readonly #maxBlocks: number;
  readonly #parents = Column.counts();
  // Open addressing: the key of a slot, and the block that has it.
  #keys = new Float64Array(1 << 10);
  #blocks = new Uint32Array(1 << 10);

  constructor(maxBlocks: number) {
    this.#maxBlocks = maxBlocks;
    this.#parents.push(NONE);
  }

  /** Distinct blocks; the highest number. */
  get size(): number {
    return this.#parents.length - 1;
  }

  /** The block of a key (53 bits that stand for it and all before it); 0 when it is new and there is no room. */
  block(key: number, parent: number): number {
    let slot = slotOf(key, this.#keys.length);
    for (; this.#blocks[slot] !== NONE; slot = (slot + 1) & (this.#keys.length - 1))
      if (this.#keys[slot] === key) return this.#blocks[slot]!;
    if (this.size === this.#maxBlocks) return NONE;
    this.#parents.push(parent);
    this.#keys[slot] = key;
    this.#blocks[slot] = this.size;
    if (this.size * 4 > this.#keys.length * 3) this.#grow();
    return this.size;
  }

  /** Fills in the blocks up to and including the last one, first block first; `length` of them. */
  fill(chain: Uint32Array, length: number, last: number): void {
    let block = last;
    for (let i = length - 1; i >= 0; i--) {
      chain[i] = block;
      block = this.#parents.at(block);
    }
  }

  #grow(): void {
    const [keys, blocks] = [this.#keys, this.#blocks];
    this.#keys = new Float64Array(keys.length * 2);
    this.#blocks = new Uint32Array(keys.length * 2);
    for (let from = 0; from < keys.length; from++) {
      if (blocks[from] === NONE) continue;
      let slot = slotOf(keys[from]!, this.#keys.length);
      while (this.#blocks[slot] !== NONE) slot = (slot + 1) & (this.#keys.length - 1);
      this.#keys[slot] = keys[from]!;
      this.#blocks[slot] = blocks[from]!;
    }
  }
}

function slotOf(key: number, slots: number): number {
  return mix32((key % 2 ** 32) ^ (key / 2 ** 32)) & (slots - 1);
}
