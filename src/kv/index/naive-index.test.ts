import { describeKvIndex } from './kv-index.conformance.ts';
import { NaiveIndex } from './naive-index.ts';

describeKvIndex('NaiveIndex', () => new NaiveIndex());
