/** The part of the WebAssembly API that is used here; TypeScript declares it only along with a browser's. */
// biome-ignore lint/style/noNamespace: it is the platform's own namespace that is declared.
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: {
      readonly initial: number;
      readonly maximum?: number;
      readonly shared?: boolean;
    });
    readonly buffer: ArrayBufferLike;
    /** Adds 64 KiB pages; throws a RangeError when the maximum or the machine refuses. */
    grow(pages: number): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
  class Global {
    value: number;
  }
}
