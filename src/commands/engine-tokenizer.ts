import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import { LibraryTokenizer } from '../tokenizer/library-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { readTokenizerFiles } from '../transport/tokenizer-files.ts';

/** The tokenizer of a simulated engine: `byte`, or a `tokenizer.json` or the folder that holds it. */
export async function engineTokenizer(source: string): Promise<Tokenizer> {
  return source === 'byte' ? new ByteTokenizer() : new LibraryTokenizer(await readTokenizerFiles(source));
}
