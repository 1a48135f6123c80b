import { expect, test } from 'vitest';
import { UrlSet } from './url-set.ts';

test('addresses of peers are kept once, without slashes, and 64 at the most', () => {
  const urls = new UrlSet();
  expect([urls.add('http://b:1/'), urls.add('http://a:1//'), urls.add('http://b:1')]).toEqual([
    true,
    true,
    false,
  ]);
  expect(urls.list()).toEqual(['http://a:1', 'http://b:1']);
  for (const wrong of ['b:1', 'ftp://b:1', 'http://', ''])
    expect(() => urls.add(wrong)).toThrow(/no HTTP URL/);
  expect([urls.remove('http://a:1/'), urls.remove('http://a:1')]).toEqual([true, false]);
  for (let i = 1; i < 64; i++) urls.add(`http://c:${i}`);
  expect(() => urls.add('http://d:1')).toThrow(/64 peers/);
  expect(urls.add('http://c:1')).toBe(false);
});
