import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Layer of each folder of `src/`; a folder may import lower layers only (docs/architecture.md). */
const LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  math: 1,
  formats: 1,
  metrics: 1,
  plot: 1,
  kernels: 1,
  tokenizer: 1,
  kv: 2,
  engine: 2,
  perf: 2,
  connector: 2,
  transport: 3,
  frontend: 4,
  worker: 4,
  router: 4,
  thompson: 4,
  load: 4,
  replay: 4,
  'sla-profiler': 4,
  planner: 4,
  'agent-profiler': 4,
  collector: 4,
  dashboard: 4,
  commands: 5,
  bin: 6,
};

/** Siblings that may import each other, each with its reason. */
const SIBLINGS: Readonly<Record<string, string>> = {
  'engine -> kv': 'the engine hashes its blocks as the router does, and its events are the index’s input',
  'tokenizer -> kernels': 'byte counting and hashing kernels',
};

/** Folders of layer 3 are not open to these even though they are lower: pure code does no I/O. */
const LAYER_3 = 3;
const IO_MODULES = /^(node:)?(fs|net|http|https|http2|tls|dgram|child_process|cluster|worker_threads)(\/|$)/;
const MAX_LINES = 400;
const DATA_FILES = /(\.generated\.ts|metrics\/(names|catalogue)[\w-]*\.ts|errors\.ts)$/;

interface Import {
  readonly file: string;
  readonly specifier: string;
  /** Gone when the program runs. */
  readonly typeOnly: boolean;
}

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'src'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file.endsWith('.ts') && existsSync(join(root, file)));
const sources = tracked.filter(
  (file) => !file.startsWith('src/kernels/assembly/') && !file.startsWith('src/dashboard/browser/'),
);
const folderOf = (file: string): string => file.split('/')[1] ?? '';
const isTest = (file: string): boolean => /\.(test|conformance)\.ts$/.test(file);
const imports: readonly Import[] = sources.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
  );
  return [...found].map((match) => ({
    file,
    specifier: match[1] ?? match[2] ?? match[3] ?? '',
    typeOnly: /^\s*(?:import|export)\s+type\b/.test(match[0]),
  }));
});

describe('the architecture', () => {
  test('has files and imports to look at', () => {
    expect(sources.length).toBeGreaterThan(5);
    expect(imports.length).toBeGreaterThan(5);
  });

  test('places every file in a known folder', () => {
    expect(sources.filter((file) => LAYERS[folderOf(file)] === undefined)).toEqual([]);
  });

  test('lets a folder import only lower layers and listed siblings', () => {
    const wrong = imports.filter(({ file, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const from = folderOf(file);
      const to = folderOf(normalize(join(dirname(file), specifier)));
      if (from === to || LAYERS[to] === undefined) return false;
      if (SIBLINGS[`${from} -> ${to}`] !== undefined) return false;
      return LAYERS[to]! >= LAYERS[from]!;
    });
    expect(wrong).toEqual([]);
  });

  test('has no file that loads itself through others', () => {
    const loads = new Map<string, string[]>();
    for (const { file, specifier, typeOnly } of imports)
      if (specifier.startsWith('.') && !typeOnly)
        loads.set(file, [...(loads.get(file) ?? []), normalize(join(dirname(file), specifier))]);
    const finished = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      else if (!finished.has(file)) {
        for (const loaded of loads.get(file) ?? []) visit(loaded, [...path, file]);
        finished.add(file);
      }
    };
    for (const file of sources) visit(file, []);
    expect(circles).toEqual([]);
  });

  test('keeps layers 0 to 2 free of input and output', () => {
    const wrong = imports.filter(
      ({ file, specifier }) =>
        LAYERS[folderOf(file)]! < LAYER_3 && !isTest(file) && IO_MODULES.test(specifier),
    );
    expect(wrong).toEqual([]);
  });

  test('reads the wall clock only from layer 4 on', () => {
    const wrong = sources.filter(
      (file) =>
        LAYERS[folderOf(file)]! <= LAYER_3 &&
        !isTest(file) &&
        /\bDate\.now\(|new Date\(\)/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });

  test('lets kernel sources import each other only', () => {
    const kernels = tracked.filter((file) => file.startsWith('src/kernels/assembly/'));
    const specifiers = kernels.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\bfrom '([^']+)'/g)].map(
        (match) => match[1] ?? '',
      ),
    );
    expect(specifiers.length).toBeGreaterThan(5);
    expect(specifiers.filter((specifier) => !/^\.\/[\w-]+$/.test(specifier))).toEqual([]);
  });

  test(`keeps every file at ${MAX_LINES} lines or fewer`, () => {
    const long = tracked.filter(
      (file) =>
        !DATA_FILES.test(file) && readFileSync(join(root, file), 'utf8').split('\n').length - 1 > MAX_LINES,
    );
    expect(long).toEqual([]);
  });

  test('has no catch-all file names', () => {
    const vague = /\/(utils?|helpers?|common|types|manager|impl|misc)\.ts$/;
    expect(tracked.filter((file) => vague.test(file))).toEqual([]);
  });

  test('never reads the environment outside commands', () => {
    const wrong = sources.filter(
      (file) =>
        LAYERS[folderOf(file)]! < 5 &&
        !isTest(file) &&
        /process\.env\b/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });
});
