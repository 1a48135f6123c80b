import { choice, flag, int, number, text } from '../../base/settings.ts';
import { TIME_UNITS, TRACE_FORMATS } from '../../formats/traces/trace.ts';

/** How a trace file is to be read; the rows of every command that takes one. */
export const TRACE_FILE_SETTINGS = {
  inputFile: text({
    placeholder: 'FILE',
    aliases: ['--trace'],
    help: 'the trace; .gz is read, - is stdin',
  }),
  traceFormat: choice({ choices: TRACE_FORMATS, help: 'its format; known by its first line when absent' }),
  blockSize: int({ min: 1, help: 'tokens behind one hash id; 512, or 64 for weka' }),
  timeUnit: choice({ choices: TIME_UNITS, help: 'unit of its times' }),
  repair: flag({ help: 'cut rows whose lengths and hash ids disagree, instead of failing' }),
};

export const SYNTHESIS_SETTINGS = {
  ...TRACE_FILE_SETTINGS,
  outputFile: text({ placeholder: 'FILE', help: 'where to write the rows; stdout when absent' }),
  numRequests: int({ default: 100_000, min: 1, help: 'rows to make' }),
  seed: int({ default: 0, help: 'the same seed makes the same trace' }),
  speedupRatio: number({ default: 1, min: 1e-6, help: 'divides the gaps between arrivals' }),
  prefixLenMultiplier: number({
    default: 1,
    min: 1e-6,
    help: 'lengthens shared prefixes; rounded up above 1',
  }),
  prefixRootMultiplier: int({ default: 1, min: 1, help: 'copies of the prefix tree that share nothing' }),
  promptLenMultiplier: number({ default: 1, min: 1e-6, help: 'lengthens what prompts have of their own' }),
  oslMultiplier: number({
    default: 1,
    min: 1e-6,
    aliases: ['--output-len-multiplier'],
    help: 'lengthens outputs',
  }),
  maxIsl: int({ min: 1, help: 'longest prompt; longer ones are drawn again' }),
  minIsl: int({ min: 1, help: 'shortest prompt' }),
  minOsl: int({ min: 1, help: 'outputs are at least so long' }),
  maxOsl: int({ min: 1, help: 'outputs are at most so long' }),
};
