/** The server of the load bench: answers at once with as many chunks as tokens were asked for, in one write per tenth. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerChunks } from '../src/formats/openai/answer.ts';
import { SSE_DONE, sseFrame } from '../src/formats/sse/frame.ts';

const chunks = answerChunks('chat', { id: 'chatcmpl-6f1c7f0e-bench', created: 1_757_500_000, model: 'm' });
const token = Buffer.from(sseFrame(chunks.text(0, ' token')));
const end = Buffer.from(
  sseFrame(JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }] })) + SSE_DONE,
);

const server = createServer((request, response) => {
  let text = '';
  request.on('data', (data) => {
    text += data;
  });
  request.on('end', () => {
    const tokens = Number(/"max_tokens":(\d+)/.exec(text)?.[1] ?? 1);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const step = Math.max(1, Math.ceil(tokens / 10));
    for (let sent = 0; sent < tokens; sent += step) {
      response.write(Buffer.concat(Array.from({ length: Math.min(step, tokens - sent) }, () => token)));
    }
    response.end(end);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
