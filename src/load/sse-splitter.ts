/**
 * Cuts a byte stream into the data of its server-sent events, at any chunk borders. Bytes stay latin1 text, one
 * character a byte: the generator reads few events closely, and this is the cheapest form to look into.
 */
export class SseSplitter {
  #rest = '';
  #data: string | undefined;

  /** Calls back with the data of every event that the chunk completes. */
  push(chunk: Buffer, emit: (data: string) => void): void {
    const text = this.#rest + chunk.toString('latin1');
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      this.#line(text, at, end > at && text.charCodeAt(end - 1) === 13 ? end - 1 : end, emit);
      at = end + 1;
    }
    this.#rest = at === text.length ? '' : text.slice(at);
  }

  /** At the end of the stream: an event that lacks its closing blank line still counts. */
  end(emit: (data: string) => void): void {
    if (this.#rest !== '') this.#line(this.#rest, 0, this.#rest.length, emit);
    this.#rest = '';
    this.#line('', 0, 0, emit);
  }

  #line(text: string, from: number, to: number, emit: (data: string) => void): void {
    if (from === to) {
      if (this.#data !== undefined) emit(this.#data);
      this.#data = undefined;
      return;
    }
    // A line of the bare word is a field without a value.
    const hasValue = text.charCodeAt(from + 4) === 58 && from + 4 < to;
    if (!text.startsWith('data', from) || !(hasValue || to === from + 4)) return;
    const start = text.charCodeAt(from + 5) === 32 ? from + 6 : from + 5;
    const data = start < to ? text.slice(start, to) : '';
    this.#data = this.#data === undefined ? data : `${this.#data}\n${data}`;
  }
}
