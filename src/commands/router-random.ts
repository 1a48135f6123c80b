import { randomInt } from 'node:crypto';
import { type Random, SeededRandom } from '../base/random.ts';
import { BlockHasher } from '../kv/hash.ts';

/**
 * What a router draws ties and samples from. Routers of one seed draw alike only under one name: several that share a
 * configuration would else put what reaches them at the same time on the same workers.
 */
export function routerRandom(seed: number | undefined, routerId: string | undefined): Random {
  const stream = routerId === undefined ? 0 : Number(new BlockHasher().hashText(routerId, 0n) & 0xffffffffn);
  return new SeededRandom(seed ?? randomInt(2 ** 32), stream);
}
