import { describe, expect, test } from 'vitest';
import { EventPublisher, follow, sorted } from '../../../test/support/event-publisher.ts';

/** The batch as published so many seconds earlier. */
function earlier<B extends { readonly batch: { readonly timestampS: number } }>(
  batch: B,
  seconds: number,
): B {
  return { ...batch, batch: { ...batch.batch, timestampS: batch.batch.timestampS - seconds } };
}

describe('an engine whose clock is set back while it restarts', () => {
  test.each([3, 2000])('is followed anew after %d batches', async (batches) => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['snapshot']);
    await pass(20);
    for (let i = 0; i < batches; i++) stream.deliver(publisher.toggle(1 + (i % 3)));
    publisher.restart();
    for (const path of [5, 3]) stream.deliver(earlier(publisher.toggle(path), 100_000));
    await pass(20);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 1 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('is not confused with one that repeats itself', () => {
    const publisher = new EventPublisher();
    const { stream, held, changes } = follow(publisher, []);
    const batches = [5, 3, 2, 7].map((path) => publisher.toggle(path));
    for (const batch of [...batches, ...batches, batches[1]!]) stream.deliver(batch);
    expect(held()).toEqual(sorted(publisher.held));
    expect(changes).toEqual(['exact']);
  });
});
