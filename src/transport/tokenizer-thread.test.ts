import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tinyTokenizer } from '../../test/support/tiny-tokenizer.ts';
import { LibraryTokenizer } from '../tokenizer/library-tokenizer.ts';
import { readTokenizerFiles } from './tokenizer-files.ts';
import { TokenizerThread } from './tokenizer-thread.ts';

describe('a tokenizer thread', () => {
  test('encodes as the tokenizer does, many at a time', async () => {
    const files = { tokenizer: tinyTokenizer() };
    const tokenizer = new LibraryTokenizer(files);
    const thread = new TokenizerThread(files);
    const texts = Array.from({ length: 20 }, (_, i) => 'abé '.repeat(i * 100));
    const [plain, rendered] = await Promise.all([
      Promise.all(texts.map((text) => thread.encode(text, false))),
      Promise.all(texts.map((text) => thread.encode(`<s>${text}`, true))),
    ]);
    expect(plain).toEqual(texts.map((text) => tokenizer.encode(text)));
    expect(rendered).toEqual(texts.map((text) => tokenizer.encodeRendered(`<s>${text}`)));
    await thread.stop();
  });

  test('tells who waits when it cannot work, and what the reason is', async () => {
    const thread = new TokenizerThread({ tokenizer: {} });
    await expect(thread.encode('x', false)).rejects.toMatchObject({ code: 'KV_TOKENIZER_UNUSABLE' });
    await thread.stop();
  });
});

describe('tokenizer files', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvasir-tokenizer-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('are read from a folder with what lies beside, or from a gzipped file', async () => {
    const json = JSON.stringify(tinyTokenizer());
    await writeFile(join(folder, 'tokenizer.json'), json);
    await writeFile(join(folder, 'packed.json.gz'), gzipSync(json));
    expect(await readTokenizerFiles(folder)).toEqual({ tokenizer: tinyTokenizer() });
    await writeFile(join(folder, 'tokenizer_config.json'), '{"bos_token":"<s>"}');
    await writeFile(join(folder, 'chat_template.jinja'), 'T');
    const files = { tokenizer: tinyTokenizer(), config: { bos_token: '<s>' }, chatTemplate: 'T' };
    expect(await readTokenizerFiles(folder)).toEqual(files);
    expect(await readTokenizerFiles(join(folder, 'packed.json.gz'))).toEqual(files);
  });

  test('that are not there or not JSON are named', async () => {
    await expect(readTokenizerFiles(join(folder, 'none'))).rejects.toMatchObject({
      code: 'KV_FILE_UNREADABLE',
      message: expect.stringContaining('none'),
    });
    await writeFile(join(folder, 'bad.json'), '[1]');
    await expect(readTokenizerFiles(join(folder, 'bad.json'))).rejects.toMatchObject({
      code: 'KV_FILE_MALFORMED',
      message: expect.stringContaining('bad.json: it holds no JSON object'),
    });
  });
});
