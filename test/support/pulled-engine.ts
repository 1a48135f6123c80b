import { SILENT_LOG } from '../../src/base/log.ts';
import { HttpServer } from '../../src/transport/http-server.ts';

/** Hands out each event once, as trtllm-serve does; hashes as they stand in the text. */
export async function startPulledEngine() {
  const queue: string[] = [];
  const server = new HttpServer({ host: '127.0.0.1', port: 0, portFlag: '--http-port', log: SILENT_LOG });
  server.app.post('/kv_cache_events', (_, reply) =>
    reply.type('application/json').send(`[${queue.splice(0)}]`),
  );
  const card = { id: 'm', object: 'model', owned_by: 'tensorrt_llm' };
  server.app.get('/v1/models', () => ({ object: 'list', data: [card] }));
  server.app.get('/health', () => ({}));
  // A prompt makes a block.
  server.app.post('/v1/completions', () => {
    queue.push(created, stored(1, 'null', '5', [1, 2, 3, 4]));
    return { choices: [{ index: 0, text: 'x', finish_reason: 'length' }] };
  });
  const created =
    '{"event_id":0,"window_size":64,"data":{"type":"created","num_blocks_per_cache_level":[9,0]}}';
  const stored = (id: number, parent: string, hash: string, ids: readonly number[]): string => {
    const tokens = JSON.stringify(
      ids.map((token_id) => ({ type: 'unique_token', token_id, token_extra_id: 0 })),
    );
    const block = `{"type":"stored_block","block_hash":${hash},"tokens":${tokens},"cache_level":0}`;
    return `{"event_id":${id},"window_size":64,"data":{"type":"stored","parent_hash":${parent},"blocks":[${block}]}}`;
  };
  await server.start();
  const stop = (): Promise<void> => server.stop(0);
  return { url: server.url, queue, created, stored, stop };
}
