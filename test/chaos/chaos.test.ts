import { expect, test } from 'vitest';
import { runChaos } from './chaos-run.ts';

test('workers die and hang, events get lost, the router restarts: nothing that was promised breaks', async () => {
  const report = await runChaos({ seconds: 16, seed: 7, workers: 3, disaggregated: false, clients: 8 });
  const shown = JSON.stringify(report, null, 2);
  expect(report.wrong, shown).toEqual([]);
  expect(report.clients.answered, shown).toBeGreaterThan(50);
  expect(report.comparedBlocks, shown).toBeGreaterThan(50);
  expect(report.events.dropped, shown).toBeGreaterThan(0);
  expect(Object.keys(report.done), shown).toHaveLength(6);
});
