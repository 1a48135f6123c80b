/** A node of a {@link RadixTree}: the text from the root to it is a prefix of `count` inserted texts. */
export type RadixNode = number;

const NONE = 0;

/**
 * A radix tree over UTF-8 bytes that parts only between code points. Inserting is linear in the text; memory
 * is the distinct bytes plus 28 bytes a node. Node 0 is the root.
 */
export class RadixTree {
  #bytes = new Uint8Array(1 << 12);
  #used = 0;
  #nodes = 1;
  // Per node: label offset, label length, count, first child, last child, next sibling, parent.
  #table = new Uint32Array(7 * 64);
  #scratch = Buffer.alloc(1 << 12);

  get size(): number {
    return this.#nodes;
  }

  insert(text: string): void {
    if (this.#scratch.length < text.length * 3) this.#scratch = Buffer.alloc(text.length * 6);
    const length = this.#scratch.write(text, 'utf8');
    const bytes = this.#scratch;
    let node: RadixNode = 0;
    this.#table[2]!++;
    for (let at = 0; at < length; ) {
      const child = this.#childFor(node, bytes, at, length);
      if (child === NONE) {
        this.#append(node, bytes.subarray(at, length));
        return;
      }
      const shared = this.#shared(child, bytes, at, length);
      if (shared < this.labelLength(child)) this.#split(child, shared);
      this.#table[child * 7 + 2]!++;
      node = child;
      at += shared;
    }
  }

  count(node: RadixNode): number {
    return this.#table[node * 7 + 2]!;
  }

  parent(node: RadixNode): RadixNode {
    return this.#table[node * 7 + 6]!;
  }

  labelLength(node: RadixNode): number {
    return this.#table[node * 7 + 1]!;
  }

  label(node: RadixNode): Uint8Array {
    const offset = this.#table[node * 7]!;
    return this.#bytes.subarray(offset, offset + this.labelLength(node));
  }

  /** Children in the order in which they were first seen. */
  children(node: RadixNode): RadixNode[] {
    const found: RadixNode[] = [];
    for (let child = this.#table[node * 7 + 3]!; child !== NONE; child = this.#table[child * 7 + 5]!)
      found.push(child);
    return found;
  }

  /** Bytes of the text from the root to the node. */
  path(node: RadixNode): Buffer {
    const labels: Uint8Array[] = [];
    for (let at = node; at !== 0; at = this.parent(at)) labels.push(this.label(at));
    return Buffer.concat(labels.reverse());
  }

  /** The node's child whose label begins with the same code point. */
  #childFor(node: RadixNode, bytes: Uint8Array, at: number, end: number): RadixNode {
    const width = Math.min(pointWidth(bytes[at]!), end - at);
    for (let child = this.#table[node * 7 + 3]!; child !== NONE; child = this.#table[child * 7 + 5]!) {
      const offset = this.#table[child * 7]!;
      let same = 0;
      while (same < width && this.#bytes[offset + same] === bytes[at + same]) same++;
      if (same === width) return child;
    }
    return NONE;
  }

  #shared(node: RadixNode, bytes: Uint8Array, at: number, end: number): number {
    const offset = this.#table[node * 7]!;
    const limit = Math.min(this.labelLength(node), end - at);
    const own = this.#bytes;
    let same = 0;
    while (same < limit && own[offset + same] === bytes[at + same]) same++;
    // Back to the start of a code point that differs in a later byte.
    if (same < limit) while ((bytes[at + same]! & 0xc0) === 0x80) same--;
    return same;
  }

  #append(parent: RadixNode, label: Uint8Array): void {
    while (this.#used + label.length > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(label, this.#used);
    const node = this.#make(this.#used, label.length, 1, parent);
    this.#used += label.length;
    const last = this.#table[parent * 7 + 4]!;
    if (last === NONE) this.#table[parent * 7 + 3] = node;
    else this.#table[last * 7 + 5] = node;
    this.#table[parent * 7 + 4] = node;
  }

  /** Cuts a label: the node keeps its place and head, a new only child takes the tail and the children. */
  #split(node: RadixNode, at: number): void {
    const table = this.#table;
    const base = node * 7;
    const tail = this.#make(table[base]! + at, table[base + 1]! - at, table[base + 2]!, node);
    const after = this.#table;
    after[tail * 7 + 3] = after[base + 3]!;
    after[tail * 7 + 4] = after[base + 4]!;
    for (let child = after[tail * 7 + 3]!; child !== NONE; child = after[child * 7 + 5]!)
      after[child * 7 + 6] = tail;
    after[base + 1] = at;
    after[base + 3] = tail;
    after[base + 4] = tail;
  }

  #make(offset: number, length: number, count: number, parent: RadixNode): RadixNode {
    const node = this.#nodes++;
    if (this.#nodes * 7 > this.#table.length) {
      const grown = new Uint32Array(this.#table.length * 2);
      grown.set(this.#table);
      this.#table = grown;
    }
    this.#table.set([offset, length, count, NONE, NONE, NONE, parent], node * 7);
    return node;
  }
}

function pointWidth(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Code points of UTF-8 bytes. */
export function utf8Points(bytes: Uint8Array): number {
  let points = 0;
  for (const byte of bytes) if ((byte & 0xc0) !== 0x80) points++;
  return points;
}
