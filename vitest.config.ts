import { defineConfig } from 'vitest/config';

/** Tests with ZMQ sockets: libzmq’s one context per process does not outlive the threads that vitest ends. */
const SOCKET_TESTS = ['src/transport/zmq/*.test.ts', 'src/worker/**/*.test.ts'];

const shared = { globals: false, testTimeout: 30_000, hookTimeout: 60_000 };

/** Unit tests share a thread's module graph (no module state in `src/`); tests that start processes get forks. */
export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    passWithNoTests: false,
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/*.test.ts', 'test/golden/**/*.test.ts'],
          exclude: SOCKET_TESTS,
          pool: 'threads',
          isolate: false,
        },
      },
      {
        test: {
          ...shared,
          name: 'e2e',
          include: [
            'test/e2e/**/*.test.ts',
            'test/real/**/*.test.ts',
            'test/chaos/*.test.ts',
            ...SOCKET_TESTS,
          ],
          sequence: { groupOrder: 1 },
          pool: 'forks',
          isolate: true,
          testTimeout: 120_000,
          // Each of these starts whole processes; two at a time fit two cores.
          maxWorkers: 2,
          // Processes on a busy machine: what then passes is named at the end of the run, as a thing to look into.
          retry: 1,
        },
      },
    ],
  },
});
