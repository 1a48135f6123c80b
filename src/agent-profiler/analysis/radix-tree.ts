/** A node of a {@link RadixTree}: the text from the root to it is a prefix of `count` inserted texts. */
export type RadixNode = number;

/** Bytes that trees may still keep; several may draw on one. */
export interface TextRoom {
  bytes: number;
}

/** What one analysis keeps of prompts; offsets could number eight times as much. */
export const TEXT_ROOM_BYTES = 2 ** 29;

const NONE = 0;
const PAGE_BITS = 18;
const PAGE_BYTES = 1 << PAGE_BITS;

/**
 * A radix tree over UTF-8 bytes that parts only between code points. Inserting is linear in the text; memory
 * is the distinct bytes plus 28 bytes a node. Node 0 is the root; a node stands for the same text for ever.
 */
export class RadixTree {
  readonly #room: TextRoom;
  // Labels lie in pages, so that growing neither copies nor leaves room unused; none crosses a page.
  readonly #pages: Uint8Array[] = [];
  #used = 0;
  #nodes = 1;
  #isCut = false;
  // Per node: label offset, label length, count, first child, last child, next sibling, parent.
  #table = new Uint32Array(7 * 64);
  #scratch = Buffer.alloc(1 << 12);

  /** Without room a text is only followed as far as the tree already goes. */
  constructor(room: TextRoom = { bytes: TEXT_ROOM_BYTES }) {
    this.#room = room;
  }

  get size(): number {
    return this.#nodes;
  }

  /** Whether a text was not kept whole. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The node of the text; of as much of it as is kept when the tree is full. */
  insert(text: string): RadixNode {
    if (this.#scratch.length < text.length * 3) this.#scratch = Buffer.alloc(text.length * 6);
    const length = this.#scratch.write(text, 'utf8');
    const bytes = this.#scratch;
    let node: RadixNode = 0;
    this.#table[2]!++;
    for (let at = 0; at < length; ) {
      const child = this.#childFor(node, bytes, at, length);
      if (child === NONE) return this.#append(node, bytes, at, length);
      const shared = this.#shared(child, bytes, at, length);
      node = shared < this.labelLength(child) ? this.#split(child, shared) : child;
      this.#table[node * 7 + 2]!++;
      at += shared;
    }
    return node;
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
    const from = offset % PAGE_BYTES;
    return this.#page(offset).subarray(from, from + this.labelLength(node));
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

  #page(offset: number): Uint8Array {
    return this.#pages[offset >>> PAGE_BITS]!;
  }

  /** The node's child whose label begins with the same code point. */
  #childFor(node: RadixNode, bytes: Uint8Array, at: number, end: number): RadixNode {
    const width = Math.min(pointWidth(bytes[at]!), end - at);
    for (let child = this.#table[node * 7 + 3]!; child !== NONE; child = this.#table[child * 7 + 5]!) {
      const offset = this.#table[child * 7]!;
      const page = this.#page(offset);
      const from = offset % PAGE_BYTES;
      let same = 0;
      while (same < width && page[from + same] === bytes[at + same]) same++;
      if (same === width) return child;
    }
    return NONE;
  }

  #shared(node: RadixNode, bytes: Uint8Array, at: number, end: number): number {
    const offset = this.#table[node * 7]!;
    const page = this.#page(offset);
    const from = offset % PAGE_BYTES;
    const limit = Math.min(this.labelLength(node), end - at);
    let same = 0;
    while (same < limit && page[from + same] === bytes[at + same]) same++;
    // Back to the start of a code point that differs in a later byte.
    if (same < limit) while ((bytes[at + same]! & 0xc0) === 0x80) same--;
    return same;
  }

  /** Adds what the tree lacks of a text, a page to a node at the most; returns the last node. */
  #append(parent: RadixNode, bytes: Uint8Array, from: number, end: number): RadixNode {
    let node = parent;
    for (let at = from; at < end; ) {
      let to = Math.min(end, at + PAGE_BYTES);
      while (to < end && (bytes[to]! & 0xc0) === 0x80) to--;
      if (to - at > this.#room.bytes) {
        this.#isCut = true;
        return node;
      }
      this.#room.bytes -= to - at;
      node = this.#appendLabel(node, bytes.subarray(at, to));
      at = to;
    }
    return node;
  }

  #appendLabel(parent: RadixNode, label: Uint8Array): RadixNode {
    const room = this.#pages.length * PAGE_BYTES - this.#used;
    if (label.length > room) {
      this.#used = this.#pages.length * PAGE_BYTES;
      this.#pages.push(new Uint8Array(PAGE_BYTES));
    }
    this.#page(this.#used).set(label, this.#used % PAGE_BYTES);
    const node = this.#make(this.#used, label.length, 1, parent);
    this.#used += label.length;
    const last = this.#table[parent * 7 + 4]!;
    if (last === NONE) this.#table[parent * 7 + 3] = node;
    else this.#table[last * 7 + 5] = node;
    this.#table[parent * 7 + 4] = node;
    return node;
  }

  /** Cuts a label: a new node takes the head and the place, the node keeps the tail and so its text. */
  #split(node: RadixNode, at: number): RadixNode {
    const parent = this.parent(node);
    const head = this.#make(this.#table[node * 7]!, at, this.count(node), parent);
    const table = this.#table;
    this.#replaceChild(parent, node, head);
    table[head * 7 + 3] = node;
    table[head * 7 + 4] = node;
    table[node * 7]! += at;
    table[node * 7 + 1]! -= at;
    table[node * 7 + 5] = NONE;
    table[node * 7 + 6] = head;
    return head;
  }

  #replaceChild(parent: RadixNode, child: RadixNode, by: RadixNode): void {
    const table = this.#table;
    table[by * 7 + 5] = table[child * 7 + 5]!;
    if (table[parent * 7 + 4] === child) table[parent * 7 + 4] = by;
    if (table[parent * 7 + 3] === child) {
      table[parent * 7 + 3] = by;
      return;
    }
    let before = table[parent * 7 + 3]!;
    while (table[before * 7 + 5] !== child) before = table[before * 7 + 5]!;
    table[before * 7 + 5] = by;
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
