import { randomUUID } from 'node:crypto';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { flag, list, number, text } from '../base/settings.ts';
import { parseEngineSpec } from '../transport/engine-spec.ts';
import { HttpClient } from '../transport/http-client.ts';
import { authorizeEngines } from './authorize-engines.ts';
import { defineCommand } from './command.ts';
import { examineEngine } from './engine-examination.ts';
import { type Finding, findingLines } from './finding.ts';
import { examineFleet, examinePrometheus } from './fleet-examination.ts';
import { PromptEncoders } from './prompt-encoders.ts';

/** Two blocks of the largest usual size in every tokenizer. */
const PROBE_WORDS = 300;
/** The second is for a subscription that came too late for the first. */
const PROBES = 2;

const SETTINGS = {
  engine: list({
    placeholder: 'SPEC',
    separator: ' ',
    help: 'engines to examine: http://host:port[,kv-events=tcp://...][,model=NAME][,tokenizer=PATH][,block-size=N][,api-key-env=VARIABLE]..., as for kvasir frontend',
  }),
  tokenizer: text({
    placeholder: 'PATH',
    help: 'tokenizer.json, or the folder that holds it, for engines that name none; "byte" for simulated ones',
  }),
  takeEvents: flag({
    help: 'also take the events of engines that hand each out once (kv-events=pull); a frontend that runs will miss them',
  }),
  prometheusUrl: text({ placeholder: 'URL', help: 'a Prometheus that should scrape the engines' }),
  timeout: number({ default: 5, min: 0.1, placeholder: 'SECONDS', help: 'longest wait for each answer' }),
};

/** `kvasir doctor`: says what to mend. */
export const command = defineCommand({
  name: 'doctor',
  summary: 'examine engines and say what to mend',
  details: `Example:
  kvasir doctor --engine http://127.0.0.1:8000,kv-events=tcp://127.0.0.1:5557,tokenizer=/models/llama

It sends a few tiny requests. Exit code 1 when something is wrong; warnings alone are 0.`,
  settings: SETTINGS,
  async run(settings, { log, signal, print, interactive }) {
    if (settings.engine.length === 0)
      throw fail('KV_USAGE', {
        reason: 'there is no engine to examine',
        mend: 'Give --engine http://HOST:PORT.',
      });
    const specs = settings.engine.map((spec) => parseEngineSpec(spec));
    const client = new HttpClient();
    authorizeEngines(client, specs);
    const encoders = new PromptEncoders(client, log.child({ part: 'tokenizer' }), undefined);
    const timeoutMs = settings.timeout * 1000;
    const clock = new RealClock();
    const probes = Array.from({ length: PROBES }, probe);
    const { tokenizer, prometheusUrl, takeEvents: takesEvents } = settings;
    const wallMs = (): number => clock.wallMs();
    try {
      const parts = { client, encoders, tokenizer, timeoutMs, wallMs, probes, takesEvents, signal };
      const engines = await Promise.all(specs.map((spec) => examineEngine(spec, parts)));
      const fleet = examineFleet(engines);
      const urls = specs.map(({ url }) => url);
      const prometheus =
        prometheusUrl === undefined
          ? []
          : await examinePrometheus(prometheusUrl, urls, { client, timeoutMs });
      const all = [...engines.flatMap(({ findings }) => findings), ...fleet, ...prometheus];
      const wrongs = all.filter(({ status }) => status === 'fail').length;
      const reports = engines.map(({ url, findings }) => ({ url, findings }));
      if (interactive) printReport(reports, [...fleet, ...prometheus], wrongs, print);
      else print(JSON.stringify({ ok: wrongs === 0, engines: reports, fleet, prometheus }));
      return wrongs === 0 ? 0 : 1;
    } finally {
      await encoders.stop();
      await client.stop();
    }
  },
});

function printReport(
  engines: readonly { readonly url: string; readonly findings: readonly Finding[] }[],
  around: readonly Finding[],
  wrongs: number,
  print: (line: string) => void,
): void {
  for (const { url, findings } of engines) for (const line of findingLines(url, findings)) print(line);
  if (around.length > 0) for (const line of findingLines('fleet', around)) print(line);
  print(wrongs === 0 ? 'nothing is wrong' : `${wrongs} thing(s) to mend`);
}

/** Text that no cache has seen. */
function probe(): string {
  const words = ['red', 'fox', 'two', 'sun', 'map', 'key', 'ice'];
  const tail = Array.from({ length: PROBE_WORDS }, (_, i) => words[(i * i + 3 * i) % words.length]);
  return `${randomUUID()} ${tail.join(' ')}`;
}
