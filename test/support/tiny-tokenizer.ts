/** A byte-level BPE tokenizer with one merge, made for tests: ids 0 to 255 are bytes, 259 is `ab`. */
export function tinyTokenizer(): object {
  const letters = byteLetters();
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(256, '<s>'), special(257, '</s>'), special(258, '<|turn|>')],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: { ...Object.fromEntries(letters.map((letter, byte) => [letter, byte])), ab: 259, abab: 260 },
      merges: [
        ['a', 'b'],
        ['ab', 'ab'],
      ],
    },
  };
}

/** The printable letter of each byte, as byte-level BPE writes them: control bytes and spaces move beyond 255. */
function byteLetters(): string[] {
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : 256 + moved++);
  });
}
