import { parentPort, workerData } from 'node:worker_threads';
import { toError } from '../base/errors.ts';
import { SILENT_LOG } from '../base/log.ts';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { type ReplayTask, runTask } from '../replay/replay-runner.ts';
import { prepareReplay, type ReplayCommandSettings } from './replay-setup.ts';
import type { ThreadAnswer } from './replay-threads.ts';

// One of the threads of `ThreadRunner`: reads the trace for itself, then runs the tasks it is sent.
const tell = (answer: ThreadAnswer): void => parentPort?.postMessage(answer);
const prepared = prepareReplay(workerData as ReplayCommandSettings, SILENT_LOG);
const hasher = new BlockHasher();

parentPort?.on('message', async (task: ReplayTask) => {
  let told = 0;
  const onProgress = (ended: number): void => {
    tell({ kind: 'progress', ended: ended - told });
    told = ended;
  };
  try {
    const outcome = await runTask(await prepared, task, {
      hasher,
      makeIndex: () => new WasmIndex(),
      onProgress,
    });
    tell({ kind: 'outcome', outcome });
  } catch (thrown) {
    const { code, facts } = toError(thrown);
    tell({ kind: 'failed', code, facts });
  }
});
