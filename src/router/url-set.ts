import { fail } from '../base/errors.ts';

const MAX_URLS = 64;

/** Addresses of other services, without trailing slashes. */
export class UrlSet {
  readonly #urls = new Set<string>();

  list(): readonly string[] {
    return [...this.#urls].sort();
  }

  /** Whether it is new. Throws KV_REQUEST_INVALID for what is no HTTP URL, KV_RECORD_CONFLICT when there are too many. */
  add(url: string): boolean {
    const bare = url.replace(/\/+$/, '');
    if (!/^https?:\/\//.test(bare) || !URL.canParse(bare))
      throw fail('KV_REQUEST_INVALID', {
        param: 'url',
        reason: `url: ${url} is no HTTP URL`,
        mend: 'Write http://HOST:PORT.',
      });
    if (this.#urls.has(bare)) return false;
    if (this.#urls.size >= MAX_URLS)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `there are ${MAX_URLS} peers already`,
        mend: 'Remove one.',
      });
    this.#urls.add(bare);
    return true;
  }

  /** Whether it was there. */
  remove(url: string): boolean {
    return this.#urls.delete(url.replace(/\/+$/, ''));
  }
}
