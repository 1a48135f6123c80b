import fc from 'fast-check';
import { Counter, Histogram, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { parseExposition } from './parse.ts';

const TEXT = `# HELP http_requests_total The total, with \\\\ and a\\nnew line.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{ method = "post" , code="400", } 3

# A comment that says nothing
msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.5"} 4773
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
# TYPE sizes histogram
sizes_bucket {le="1"} 2
sizes_bucket{le="+Inf"} 3
sizes_sum 9.5
sizes_count 3
not_a_number NaN
`;

describe('parsing text format 0.0.4', () => {
  const { families, problems, format } = parseExposition(TEXT);

  test('finds every family in order and no problem', () => {
    expect(format).toBe('text');
    expect(problems).toEqual([]);
    expect([...families.keys()]).toEqual([
      'http_requests_total',
      'msdos_file_access_time_seconds',
      'metric_without_timestamp_and_labels',
      'something_weird',
      'rpc_duration_seconds',
      'sizes',
      'not_a_number',
    ]);
  });

  test('reads type, help, labels, values and timestamps', () => {
    const requests = families.get('http_requests_total');
    expect(requests?.type).toBe('counter');
    expect(requests?.help).toBe('The total, with \\ and a\nnew line.');
    expect(requests?.samples).toEqual([
      {
        name: 'http_requests_total',
        labels: { method: 'post', code: '200' },
        value: 1027,
        timestampMs: 1395066363000,
      },
      {
        name: 'http_requests_total',
        labels: { method: 'post', code: '400' },
        value: 3,
        timestampMs: undefined,
      },
    ]);
  });

  test('reads escapes in label values, exponents, infinities and NaN', () => {
    expect(families.get('msdos_file_access_time_seconds')?.samples[0]).toEqual({
      name: 'msdos_file_access_time_seconds',
      labels: { path: 'C:\\DIR\\FILE.TXT', error: 'Cannot find file:\n"FILE.TXT"' },
      value: 1458255915,
      timestampMs: undefined,
    });
    expect(families.get('something_weird')?.samples[0]).toMatchObject({
      value: Number.POSITIVE_INFINITY,
      timestampMs: -3982045,
    });
    expect(families.get('not_a_number')?.samples[0]?.value).toBeNaN();
  });

  test('gives buckets, sums and counts to their family', () => {
    expect(families.get('sizes')?.samples.map(({ name, value }) => [name, value])).toEqual([
      ['sizes_bucket', 2],
      ['sizes_bucket', 3],
      ['sizes_sum', 9.5],
      ['sizes_count', 3],
    ]);
    expect(families.get('rpc_duration_seconds')?.samples).toHaveLength(3);
  });
});

test('OpenMetrics is told by its end, with exemplars and timestamps in seconds', () => {
  const { format, families, problems } = parseExposition(
    `# TYPE foo histogram
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="1.0"} 11 # {trace_id="KOO5S4vxi0o"} 0.67
foo_bucket{le="+Inf"} 17 1520879607.5 # {trace_id="oHg5SJYRHA0"} 9.8 1520879607.789
foo_count 17
foo_sum 324789.3
# TYPE acme_http counter
acme_http_total{path="/"} 4
acme_http_created{path="/"} 1605301325.0
# TYPE build info
build_info{version="1"} 1
# EOF
`,
  );
  expect(format).toBe('openmetrics');
  expect(problems).toEqual([]);
  const buckets = families.get('foo')?.samples ?? [];
  expect(buckets[0]?.exemplar).toEqual({ labels: {}, value: 0.054, timestampS: undefined });
  expect(buckets[1]?.exemplar).toEqual({
    labels: { trace_id: 'KOO5S4vxi0o' },
    value: 0.67,
    timestampS: undefined,
  });
  expect(buckets[2]).toMatchObject({
    value: 17,
    timestampMs: 1520879607500,
    exemplar: { labels: { trace_id: 'oHg5SJYRHA0' }, value: 9.8, timestampS: 1520879607.789 },
  });
  expect(families.get('acme_http')?.samples.map(({ name }) => name)).toEqual([
    'acme_http_total',
    'acme_http_created',
  ]);
  expect(families.get('build')?.samples).toHaveLength(1);
});

test('a line that cannot be read is reported with its number and the rest is read', () => {
  const { families, problems } = parseExposition(
    [
      'good 1',
      '1bad 2',
      'no_value',
      'open{a="b 3',
      'unquoted{a=b} 4',
      'twice{a="1",a="2"} 5',
      'text{} five',
      'extra 1 2 3',
      'stamp 1 soon',
      '# TYPE good gauge',
      '# TYPE other shape',
      'polluted{__proto__="x"} 1',
      'also_good{a="}"} 7\r',
    ].join('\n'),
  );
  expect(problems).toEqual([
    { line: 2, reason: '"1bad" is not a metric name' },
    { line: 3, reason: '"" is not a number' },
    { line: 4, reason: 'the value of label a is not closed' },
    { line: 5, reason: 'the value of label a is not quoted' },
    { line: 6, reason: 'label a is given twice' },
    { line: 7, reason: '"five" is not a number' },
    { line: 8, reason: '"3" stands after the value and its timestamp' },
    { line: 9, reason: '"soon" is not a timestamp' },
    { line: 10, reason: 'the type of good comes after its samples' },
    { line: 11, reason: '"shape" is not a type' },
    { line: 12, reason: '"__proto__" is not a label name' },
  ]);
  expect(families.get('also_good')?.samples[0]).toMatchObject({ labels: { a: '}' }, value: 7 });
});

test('any text is read without throwing, with no more than a hundred problems', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...TEXT.split('\n')))),
      (lines) => {
        expect(parseExposition(lines.join('\n')).problems.length).toBeLessThanOrEqual(100);
      },
    ),
  );
});

test('what prom-client renders is read back', async () => {
  const registry = new Registry();
  const counter = new Counter({
    name: 'c_total',
    help: 'a "c" \\ \n',
    labelNames: ['x'],
    registers: [registry],
  });
  counter.inc({ x: 'a"\\\nb,}{= ' }, 2.5);
  const histogram = new Histogram({ name: 'h', help: 'h', buckets: [0.1, 1], registers: [registry] });
  for (const value of [0.05, 0.5, 5]) histogram.observe(value);
  const { families, problems } = parseExposition(await registry.metrics());
  expect(problems).toEqual([]);
  expect(families.get('c_total')).toMatchObject({
    type: 'counter',
    samples: [{ labels: { x: 'a"\\\nb,}{= ' }, value: 2.5 }],
  });
  expect(families.get('h')?.samples.map(({ labels, value }) => [labels.le, value])).toEqual([
    ['0.1', 1],
    ['1', 2],
    ['+Inf', 3],
    [undefined, 5.55],
    [undefined, 3],
  ]);
});
