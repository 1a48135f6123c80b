/**
 * `npm run bench [-- NAME…] [--quick] [--json] [--again N]`: runs the benches; exit 1 when one misses its floor, 2 on
 * misuse. With `--again` a bench that missed is measured up to N times more, for machines that have other work to do.
 */
import { parseArgs } from 'node:util';
import { toError } from '../src/base/errors.ts';
import { type Bench, judge, rounded, type Verdict } from './harness.ts';

/** All benches in the order in which they run; each module is loaded when its turn comes. */
const BENCHES: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  'agent-profile': () => import('./agent-profile.ts'),
  hash: () => import('./hash.ts'),
  find: () => import('./find.ts'),
  apply: () => import('./apply.ts'),
  'index-trace': () => import('./index-trace.ts'),
  decode: () => import('./decode.ts'),
  'request-check': () => import('./request-check.ts'),
  'routing-overhead': () => import('./routing-overhead.ts'),
  'metrics-observe': () => import('./metrics-observe.ts'),
  'metrics-render': () => import('./metrics-render.ts'),
  relay: () => import('./relay.ts'),
  load: () => import('./load.ts'),
  soak: () => import('./soak.ts'),
};

function usage(reason: string): never {
  console.error(`${reason}\nusage: npm run bench [-- NAME…] [--quick] [--json] [--again N]`);
  console.error(`benches: ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}

interface Arguments {
  readonly names: readonly string[];
  readonly quick: boolean;
  readonly json: boolean;
  /** How often a bench that missed is measured once more. */
  readonly again: number;
}

function parse(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        again: { type: 'string', default: '0' },
      },
    });
    if (!/^\d$/.test(values.again)) return usage(`--again is ${values.again}: give a number from 0 to 9`);
    return { names: positionals, quick: values.quick, json: values.json, again: Number(values.again) };
  } catch (thrown) {
    return usage(toError(thrown).message);
  }
}

function describe({ bench, value, unit, baseline, ratio, floor, ok, details }: Verdict): string {
  const floorText = floor === null ? '' : `, floor ${floor}`;
  const figures = Object.entries(details).map(([name, figure]) => `\n    ${name}: ${figure}`);
  return (
    `${ok ? 'ok    ' : 'MISSED'}  ${bench}  ${rounded(value)} ${unit} against ${rounded(baseline)}: ` +
    `ratio ${rounded(ratio)}${floorText}${figures.join('')}`
  );
}

const { names, quick, json, again } = parse();
const unknown = names.find((name) => BENCHES[name] === undefined);
if (unknown !== undefined) usage(`no bench is named ${unknown}`);
let missed = 0;
for (const [name, load] of Object.entries(BENCHES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const { bench } = await load();
  let verdict = await judge(name, bench, { quick });
  for (let left = again; !verdict.ok && left > 0; left--) {
    console.error(describe(verdict));
    verdict = await judge(name, bench, { quick });
  }
  if (!verdict.ok) missed += 1;
  console.log(json ? JSON.stringify(verdict) : describe(verdict));
}
process.exitCode = missed > 0 ? 1 : 0;
