// Compiles the AssemblyScript kernels of src/kernels/assembly to the source text of their generated modules.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const OPTIONS = [
  '-O3',
  '--noAssert',
  ...['--runtime', 'stub'],
  // The host owns the memory and may share it between threads; 65536 pages are the 4 GiB that wasm32 can address.
  '--importMemory',
  '--sharedMemory',
  ...['--initialMemory', '1'],
  ...['--maximumMemory', '65536'],
  ...['--enable', 'threads', '--enable', 'simd'],
];

/**
 * @param {string} entry file name in src/kernels/assembly, without its ending
 * @param {string} constant name of the exported base64 text
 * @returns {Promise<string>} a TypeScript module
 */
export async function makeKernel(entry, constant) {
  const binary = await compile(`src/kernels/assembly/${entry}.ts`);
  const lines = binary
    .toString('base64')
    .match(/.{1,110}/g)
    .map((line) => `  '${line}',`);
  return [
    `// Compiled from src/kernels/assembly/${entry}.ts by scripts/build-kernels.mjs: npm run generate.`,
    `/** A wasm module of ${binary.length} bytes as base64. */`,
    `export const ${constant}: string = [`,
    ...lines,
    "].join('');",
    '',
  ].join('\n');
}

// In a process of its own: tsx would first transform the compiler's ten megabytes.
async function compile(source) {
  const folder = await mkdtemp(join(tmpdir(), 'kvasir-kernel-'));
  try {
    const out = join(folder, 'kernel.wasm');
    await promisify(execFile)('node_modules/.bin/asc', [source, ...OPTIONS, '--outFile', out]);
    return await readFile(out);
  } finally {
    await rm(folder, { recursive: true });
  }
}
