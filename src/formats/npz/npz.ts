import { unzipSync, zipSync } from 'fflate';
import { fail, toError } from '../../base/errors.ts';
import { decodeNpy, encodeNpy, type NpyArray } from './npy.ts';

/** Named arrays in file order. */
export type NpzArrays = Readonly<Record<string, NpyArray>>;

// numpy stamps every member so; a fixed stamp makes equal arrays equal bytes.
const ZIP_EPOCH = '1980-01-01T00:00:00';

/** Writes what `numpy.savez` would: one stored zip member per array, in the order of the keys. */
export function encodeNpz(arrays: NpzArrays): Uint8Array {
  const members = Object.entries(arrays).map(([name, array]) => [`${name}.npy`, encodeNpy(array)] as const);
  return zipSync(Object.fromEntries(members), { level: 0, mtime: ZIP_EPOCH, os: 3, attrs: 0o600 << 16 });
}

/** Reads `numpy.savez` and `numpy.savez_compressed` files; `path` names the file in errors. */
export function decodeNpz(file: Uint8Array, path: string): NpzArrays {
  let members: Record<string, Uint8Array>;
  try {
    members = unzipSync(file);
  } catch (cause) {
    throw fail(
      'KV_FILE_MALFORMED',
      { path, reason: `not a zip archive (${toError(cause).message})`, mend: 'Write it with numpy.savez.' },
      cause,
    );
  }
  const arrays = Object.entries(members).map(([name, bytes]) => {
    const key = name.replace(/\.npy$/, '');
    return [key, decodeNpy(bytes, `${path}, array ${key}`)] as const;
  });
  return Object.fromEntries(arrays);
}

/** A one-dimensional float64 array. */
export function floats(values: ArrayLike<number>): NpyArray {
  return { shape: [values.length], data: Float64Array.from(values) };
}

/** A one-dimensional int64 array; the values must be whole. */
export function integers(values: readonly number[]): NpyArray {
  return { shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}
