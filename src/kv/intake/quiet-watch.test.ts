import { describe, expect, test } from 'vitest';
import { EventPublisher, follow, sorted } from '../../../test/support/event-publisher.ts';

describe('a publisher that is quiet', () => {
  test('is asked, and tells of the last batch that never came', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass, changes } = follow(publisher, ['replay', 'snapshot'], undefined, 5000);
    await pass(20);
    stream.deliver(publisher.toggle(1));
    publisher.toggle(2);
    await pass(4900);
    expect(held()).toEqual([1n]);
    await pass(200);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 1, missedBatches: 0 });
    expect(held()).toEqual([1n, 2n]);
    // Asking in vain is no recovery.
    const before = changes.length;
    await pass(20_000);
    expect(changes).toHaveLength(before);
  });

  test('is found to have restarted without a sound', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay'], undefined, 5000);
    await pass(20);
    for (const path of [1, 2, 3]) stream.deliver(publisher.toggle(path));
    publisher.restart();
    await pass(6000);
    expect(held()).toEqual([]);
    publisher.toggle(5);
    await pass(6000);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 0 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('is not asked while it is heard, nor after the stream has ended', async () => {
    const publisher = new EventPublisher();
    let asked = 0;
    const fails = (): boolean => {
      asked++;
      return false;
    };
    const { stream, pass } = follow(publisher, ['replay'], fails, 5000);
    await pass(20);
    for (let path = 1; path < 9; path++) {
      stream.deliver(publisher.toggle(path));
      await pass(3000);
    }
    expect(asked).toBe(1);
    stream.close();
    await pass(20_000);
    expect(asked).toBe(1);
  });
});
