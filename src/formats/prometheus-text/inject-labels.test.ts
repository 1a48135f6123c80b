import { expect, test } from 'vitest';
import { injectLabels } from './inject-labels.ts';
import { parseExposition } from './parse.ts';
import { toOpenMetrics } from './to-openmetrics.ts';

const LABELS = { dynamo_namespace: 'my-ns', worker_id: '694d9d78249cbd10', model: 'Qwen/Qwen3 "8B"' };
const ADDED = 'dynamo_namespace="my-ns",worker_id="694d9d78249cbd10",model="Qwen/Qwen3 \\"8B\\""';

test('labels are added raw to every sample, before its own', () => {
  const { text, problems } = injectLabels(
    '# HELP vllm:a x\n# TYPE vllm:a gauge\nvllm:a 1\nvllm:b{} 2 3\nvllm:c{engine="0",le="+Inf"} 4\n',
    LABELS,
  );
  expect(problems).toEqual([]);
  expect(text).toBe(
    `# HELP vllm:a x\n# TYPE vllm:a gauge\nvllm:a{${ADDED}} 1\nvllm:b{${ADDED}} 2 3\nvllm:c{${ADDED},engine="0",le="+Inf"} 4\n`,
  );
});

test('a label that the sample has already wins over the added one', () => {
  const { text } = injectLabels('a{model="own",worker_id="7"} 1\na{model="own"} 2', LABELS);
  expect(text.split('\n').slice(0, 2)).toEqual([
    'a{dynamo_namespace="my-ns",model="own",worker_id="7"} 1',
    'a{dynamo_namespace="my-ns",worker_id="694d9d78249cbd10",model="own"} 2',
  ]);
});

test('lines that are not samples, and an end mark, are left out and reported', () => {
  const { text, problems } = injectLabels('a 1\n<html>oops</html>\nb{x="1} 2\n# EOF\n', { z: '1' });
  expect(text).toBe('a{z="1"} 1\n');
  expect(problems.map(({ line }) => line)).toEqual([2, 3]);
});

test('an engine that answers something else altogether adds nothing', () => {
  expect(injectLabels('{"detail":"Not Found"}', { z: '1' })).toEqual({
    text: '',
    problems: [{ line: 1, reason: '"" is not a metric name' }],
  });
});

test('comments are rewritten so that the text may stand in an OpenMetrics exposition', () => {
  const text = toOpenMetrics(
    '# HELP a_total Says "a".\n# TYPE a_total counter\na_total 1\n# some words\n# HELP b x\n# TYPE b counter\nb 2\n# TYPE c untyped\nc 3\n',
  );
  expect(text).toBe(
    '# HELP a Says \\"a\\".\n# TYPE a counter\na_total 1\n# HELP b x\n# TYPE b unknown\nb 2\n# TYPE c unknown\nc 3\n',
  );
  const { families, problems, format } = parseExposition(`${text}# EOF\n`);
  expect([format, problems, [...families.keys()]]).toEqual(['openmetrics', [], ['a', 'b', 'c']]);
});
