/** `npm run chaos -- [--minutes N] [--seed N] [--workers N] [--clients N] [--disaggregated]`: exit 1 when a promise was broken. */
import { parseArgs } from 'node:util';
import { runChaos } from './chaos-run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    workers: { type: 'string', default: '4' },
    clients: { type: 'string', default: '12' },
    disaggregated: { type: 'boolean', default: false },
  },
});

const report = await runChaos({
  seconds: 60 * Number(values.minutes),
  seed: Number(values.seed),
  workers: Number(values.workers),
  clients: Number(values.clients),
  disaggregated: values.disaggregated,
  progress: (line) => console.error(line),
});
console.log(JSON.stringify(report, null, 2));
process.exitCode = report.wrong.length > 0 ? 1 : 0;
