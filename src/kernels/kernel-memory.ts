import { fail } from '../base/errors.ts';

export const PAGE_BYTES = 65_536;
export const MAX_PAGES = 65_536;

/**
 * Linear memory of one kernel instance, shareable between threads. Views go stale when memory grows, so they
 * are taken anew from here after every call that may grow it, and never kept.
 */
export class KernelMemory {
  readonly memory: WebAssembly.Memory;
  #buffer: ArrayBufferLike;
  #u8: Uint8Array;
  #u32: Uint32Array;
  #u64: BigUint64Array;

  /** `maxBytes` is rounded down to pages; the machine never gives more. */
  constructor(maxBytes: number = MAX_PAGES * PAGE_BYTES) {
    const maximum = Math.min(MAX_PAGES, Math.floor(maxBytes / PAGE_BYTES));
    this.memory = new WebAssembly.Memory({ initial: 1, maximum, shared: true });
    this.#buffer = this.memory.buffer;
    this.#u8 = new Uint8Array(this.#buffer);
    this.#u32 = new Uint32Array(this.#buffer);
    this.#u64 = new BigUint64Array(this.#buffer);
  }

  get sizeBytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** The buffer that views are of; another one after memory grew. */
  get buffer(): ArrayBufferLike {
    return this.memory.buffer;
  }

  get u8(): Uint8Array {
    this.#refresh();
    return this.#u8;
  }

  get u32(): Uint32Array {
    this.#refresh();
    return this.#u32;
  }

  get u64(): BigUint64Array {
    this.#refresh();
    return this.#u64;
  }

  /** Grows until the first `bytes` bytes exist. */
  ensure(bytes: number): void {
    const missing = Math.ceil(bytes / PAGE_BYTES) - this.sizeBytes / PAGE_BYTES;
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch (cause) {
      throw fail('KV_MEMORY_EXHAUSTED', { neededBytes: bytes, sizeBytes: this.sizeBytes }, cause);
    }
  }

  #refresh(): void {
    const buffer = this.memory.buffer;
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.#u8 = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#u64 = new BigUint64Array(buffer);
  }
}

/** Instantiates a kernel of a generated module on a memory and returns its exports. */
export function instantiateKernel<T>(base64: string, memory: KernelMemory): T {
  // Synchronous, since a kernel is a few kilobytes; V8 compiles equal bytes only once.
  const module = new WebAssembly.Module(Buffer.from(base64, 'base64'));
  return new WebAssembly.Instance(module, { env: { memory: memory.memory } }).exports as T;
}
