import { fail } from '../../base/errors.ts';

/** One numpy array: values in C order, whatever order the file had them in. */
export interface NpyArray {
  /** Lengths of the axes; `[]` is a scalar. */
  readonly shape: readonly number[];
  readonly data: NpyData;
}

export type NpyData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | BigUint64Array
  | Uint32Array
  | Uint8Array
  | readonly string[];

const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);
const ALIGNMENT = 64;

type Numeric = Exclude<NpyData, readonly string[]>;
/** The numeric element types that are read and written, by their numpy descriptor. */
const NUMERIC: Readonly<Record<string, (bytes: ArrayBuffer) => Numeric>> = {
  '<f8': (bytes) => new Float64Array(bytes),
  '<f4': (bytes) => new Float32Array(bytes),
  '<i8': (bytes) => new BigInt64Array(bytes),
  '<i4': (bytes) => new Int32Array(bytes),
  '<u8': (bytes) => new BigUint64Array(bytes),
  '<u4': (bytes) => new Uint32Array(bytes),
  '|u1': (bytes) => new Uint8Array(bytes),
  '|b1': (bytes) => new Uint8Array(bytes),
};

/** Writes npy format 1.0, byte for byte as `numpy.save` does on a little-endian machine. */
export function encodeNpy(array: NpyArray): Uint8Array {
  const { descr, body } = encodeBody(array.data);
  const shape = array.shape.length === 1 ? `(${array.shape[0]},)` : `(${array.shape.join(', ')})`;
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const unpadded = MAGIC.length + 4 + dictionary.length + 1;
  // numpy reserves room to grow the first axis, which pads short headers to two alignments.
  const total = Math.max(2 * ALIGNMENT, Math.ceil(unpadded / ALIGNMENT) * ALIGNMENT);
  const header = `${dictionary.padEnd(total - MAGIC.length - 5)}\n`;
  const file = new Uint8Array(total + body.length);
  file.set(MAGIC);
  file.set([1, 0, header.length & 0xff, header.length >> 8], MAGIC.length);
  file.set(new TextEncoder().encode(header), MAGIC.length + 4);
  file.set(body, total);
  return file;
}

/** Reads npy formats 1.0 to 3.0; Fortran order is turned into C order. Pickled objects are refused. */
export function decodeNpy(file: Uint8Array, name: string): NpyArray {
  const malformed = (reason: string) =>
    fail('KV_FILE_MALFORMED', { path: name, reason, mend: 'Write it again with numpy.save or numpy.savez.' });
  if (file.length < 12 || MAGIC.some((byte, i) => file[i] !== byte)) throw malformed('not an npy array');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wide = file[MAGIC.length]! > 1;
  const headerAt = MAGIC.length + (wide ? 6 : 4);
  const headerLength = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder('latin1').decode(file.subarray(headerAt, headerAt + headerLength));
  const descr = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const shapeText = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (descr === undefined || shapeText === undefined)
    throw malformed(`its header is not understood: ${header.trim().slice(0, 80)}`);
  const shape = shapeText
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  const count = shape.reduce((product, length) => product * length, 1);
  const body = file.subarray(headerAt + headerLength);
  const data = decodeBody(descr, count, body, malformed);
  return { shape, data: /'fortran_order':\s*True/.test(header) ? toCOrder(data, shape) : data };
}

/** The array as plain numbers; 64-bit integers lose precision above 2^53. */
export function toNumbers(array: NpyArray): number[] {
  return Array.from(array.data as ArrayLike<number | bigint>, Number);
}

function encodeBody(data: NpyData): { descr: string; body: Uint8Array } {
  if (Array.isArray(data)) return encodeText(data as readonly string[]);
  const numeric = data as Numeric;
  const descr = Object.entries(NUMERIC).find(
    ([, make]) => make(new ArrayBuffer(0)).constructor === numeric.constructor,
  )![0];
  return { descr, body: new Uint8Array(numeric.buffer, numeric.byteOffset, numeric.byteLength) };
}

function encodeText(texts: readonly string[]): { descr: string; body: Uint8Array } {
  const points = texts.map((text) => Array.from(text, (char) => char.codePointAt(0)!));
  const width = Math.max(1, ...points.map((chars) => chars.length));
  const cells = new Uint32Array(width * texts.length);
  for (const [i, chars] of points.entries()) cells.set(chars, i * width);
  return { descr: `<U${width}`, body: new Uint8Array(cells.buffer) };
}

function decodeBody(
  descr: string,
  count: number,
  body: Uint8Array,
  malformed: (reason: string) => Error,
): NpyData {
  const width = /^<U(\d+)$/.exec(descr)?.[1];
  const numeric = NUMERIC[descr];
  if (width === undefined && numeric === undefined)
    throw malformed(`its element type ${descr} is not supported`);
  const itemBytes = width === undefined ? numeric!(new ArrayBuffer(0)).BYTES_PER_ELEMENT : 4 * Number(width);
  if (body.length < count * itemBytes)
    throw malformed(`it is cut short: ${body.length} of ${count * itemBytes} bytes`);
  // A Buffer's own slice() would not copy.
  const bytes = Uint8Array.from(body.subarray(0, count * itemBytes)).buffer;
  if (width === undefined) return numeric!(bytes);
  const cells = new Uint32Array(bytes);
  return Array.from({ length: count }, (_, i) => {
    const text = cells.subarray(i * Number(width), (i + 1) * Number(width));
    return String.fromCodePoint(...text.filter((point) => point !== 0));
  });
}

function toCOrder(data: NpyData, shape: readonly number[]): NpyData {
  const reordered = data.slice() as Numeric | string[];
  const index = new Array<number>(shape.length).fill(0);
  for (let to = 0; to < data.length; to++) {
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) from = from * shape[axis]! + index[axis]!;
    reordered[to] = data[from] as never;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return reordered;
}
