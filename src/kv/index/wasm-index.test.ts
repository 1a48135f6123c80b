import { describeKvIndex } from './kv-index.conformance.ts';
import { WasmIndex } from './wasm-index.ts';

describeKvIndex('WasmIndex', () => new WasmIndex());
