import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { realPart } from '../support/real-part.ts';

describe.skipIf(realPart('chromium').skip)('the dashboard in a real browser', () => {
  let kvasir: KvasirProcess;
  let url = '';
  beforeAll(async () => {
    kvasir = new KvasirProcess([
      'up',
      '--workers',
      '2',
      '--http-port',
      '0',
      '--system-port-base',
      '0',
      '--speedup',
      '10',
      '--log-level',
      'error',
    ]);
    url = String((await kvasir.json()).url);
  });
  afterAll(() => kvasir.kill());

  test('shows live figures, every worker and the latest decisions, without an error', async () => {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
    try {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      page.on('requestfailed', (request) => errors.push(`${request.url()} failed`));
      await page.goto(url);
      await page.locator('#status.live').waitFor();
      const body = JSON.stringify({
        model: 'kvasir-sim',
        prompt: 'a prompt of some length, '.repeat(40),
        max_tokens: 8,
      });
      for (let i = 0; i < 3; i++)
        await fetch(`${url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
      await page.locator('#decisions tr:nth-child(4)').waitFor();
      await page.locator('#workers tr.exact').first().waitFor();
      const workers = await page.locator('#workers tr').allInnerTexts();
      expect(workers).toHaveLength(3);
      expect(workers.slice(1).every((row) => row.includes('exact'))).toBe(true);
      expect(await page.locator('.tile').allInnerTexts()).toHaveLength(6);
      const requests = page.locator('.tile', { has: page.locator('.name', { hasText: /^Requests$/ }) });
      await expect.poll(() => requests.innerText(), { timeout: 20_000 }).toContain('3');
      expect(await page.locator('canvas').count()).toBe(6);
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
