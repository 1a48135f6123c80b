import {
  type ChatMessage,
  type ChatRenderOptions,
  messageText,
  type Tokenizer,
  type TokenStream,
} from './tokenizer.ts';

/** Special tokens follow the 256 bytes, in this order. */
const SPECIALS = ['<|begin|>', '<|end|>', '<|system|>', '<|user|>', '<|assistant|>', '<|tool|>'] as const;
type Special = (typeof SPECIALS)[number];

const BYTES = 256;

/**
 * The tokenizer of simulated models: one UTF-8 byte is one token, its id the byte's value. A chat is
 * `<|begin|>`, then per message `<|role|>`, a newline, its text and tool calls, `<|end|>` and a newline; tools
 * come first as a system turn. Special names inside a text are plain bytes, so that a client cannot forge a turn.
 */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize = BYTES + SPECIALS.length;
  readonly bosId = undefined;
  readonly eosIds = [special('<|end|>')] as const;

  encode(text: string): Uint32Array {
    return Uint32Array.from(new TextEncoder().encode(text));
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): Uint32Array {
    const encoder = new TextEncoder();
    const pieces = chatPieces(messages, options).map((piece) =>
      piece.kind === 'special' ? [special(piece.name)] : encoder.encode(piece.text),
    );
    const ids = new Uint32Array(pieces.reduce((length, piece) => length + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      ids.set(piece, at);
      at += piece.length;
    }
    return ids;
  }

  renderChat(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): string {
    return chatPieces(messages, options)
      .map((piece) => (piece.kind === 'special' ? piece.name : piece.text))
      .join('');
  }

  decode(ids: ArrayLike<number>): string {
    const stream = this.decodeStream();
    let text = '';
    for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]!);
    return text + stream.flush();
  }

  decodeStream(): TokenStream {
    return new ByteStream();
  }
}

class ByteStream implements TokenStream {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #byte = new Uint8Array(1);
  #pending = false;

  push(id: number): string {
    // ASCII outside a character needs no decoder; it is nearly everything that a simulated engine says.
    if (id < 128 && !this.#pending) return String.fromCharCode(id);
    if (id >= BYTES) return this.flush() + (id < BYTES + SPECIALS.length ? '' : '\ufffd');
    this.#byte[0] = id;
    const text = this.#decoder.decode(this.#byte, { stream: true });
    this.#pending = id >= 128 && (text === '' || text.endsWith('\ufffd'));
    return text;
  }

  flush(): string {
    this.#pending = false;
    return this.#decoder.decode();
  }
}

type Piece =
  | { readonly kind: 'special'; readonly name: Special }
  | { readonly kind: 'text'; readonly text: string };

function chatPieces(messages: readonly ChatMessage[], options: ChatRenderOptions): Piece[] {
  const pieces: Piece[] = [{ kind: 'special', name: '<|begin|>' }];
  const turn = (role: string, content: string): void => {
    pieces.push({ kind: 'special', name: roleToken(role) }, text(`\n${content}`));
    pieces.push({ kind: 'special', name: '<|end|>' }, text('\n'));
  };
  if (options.tools !== undefined && options.tools.length > 0) turn('system', JSON.stringify(options.tools));
  for (const message of messages) {
    const calls = message.tool_calls === undefined ? '' : JSON.stringify(message.tool_calls);
    turn(message.role, messageText(message) + calls);
  }
  if (options.continueFinalMessage === true && messages.length > 0) pieces.length -= 2;
  else if (options.addGenerationPrompt ?? true)
    pieces.push({ kind: 'special', name: '<|assistant|>' }, text('\n'));
  return pieces;
}

function text(value: string): Piece {
  return { kind: 'text', text: value };
}

function roleToken(role: string): Special {
  const name = role === 'developer' ? '<|system|>' : role === 'function' ? '<|tool|>' : `<|${role}|>`;
  return (SPECIALS as readonly string[]).slice(2).includes(name) ? (name as Special) : '<|user|>';
}

function special(name: Special): number {
  return BYTES + SPECIALS.indexOf(name);
}
