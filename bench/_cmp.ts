import { compareIndexes } from '../test/support/compare-indexes.ts';
const [seed, ranks, events] = process.argv.slice(2).map(Number) as [number, number, number];
const t=performance.now(); console.log(compareIndexes({ seed, ranks, events, checkEvery: events / 4 }), ((performance.now()-t)/1000).toFixed(1),'s');
