import { spawnSync } from 'node:child_process';

/** Programs of other people that some tests run for real; each maps to how its presence is probed. */
const PROBES = {
  prometheus: ['prometheus', '--version'],
  promtool: ['promtool', '--version'],
  'nats-server': ['nats-server', '--version'],
  openssl: ['openssl', 'version'],
  chromium: ['chromium', '--version'],
  'python3-numpy': ['/usr/bin/python3', '-c', 'import numpy'],
  'python3-zmq': ['/usr/bin/python3', '-c', 'import zmq, msgpack'],
} as const;

export type RealPart = keyof typeof PROBES;

/**
 * Whether tests of a real part must skip because it is not installed; the reason is printed. With
 * KVASIR_REQUIRE_REAL=1 they never skip, so a missing part fails.
 */
export function realPart(part: RealPart): { readonly skip: boolean } {
  if (process.env.KVASIR_REQUIRE_REAL === '1') return { skip: false };
  const [program, ...args] = PROBES[part];
  const found =
    spawnSync(program, args, {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    }).status === 0;
  if (!found)
    process.stderr.write(`skipping tests of ${part}: not installed (Debian package of that name)\n`);
  return { skip: !found };
}
