import { expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { MetricsNode } from './hierarchy.ts';

const WORKER_ID = '694d9d78249cbd10';
// The reference derives labels from depth, so its nested namespaces shift them; ours go by kind.
const NESTED = 5;

function nodeAt([, namespace, component, endpoint]: readonly string[]): MetricsNode {
  let node = MetricsNode.process({}, WORKER_ID);
  if (namespace !== undefined) node = node.namespace(namespace);
  if (component !== undefined) node = node.component(component);
  return endpoint === undefined ? node : node.endpoint(endpoint);
}

const cases = metricsCatalogue().golden.auto_labels.slice(0, NESTED - 1);

test.each(cases)('the levels $path give their labels', ({ path, labels }) => {
  expect(nodeAt(path).registry.labels).toEqual({ ...labels, worker_id: WORKER_ID });
});

test('a namespace inside another joins both names and shifts nothing', () => {
  const component = MetricsNode.process({}, WORKER_ID).namespace('ns1').namespace('ns2').component('comp');
  expect(component.registry.labels).toEqual({
    dynamo_namespace: 'ns1_ns2',
    dynamo_component: 'comp',
    worker_id: WORKER_ID,
  });
});

test('an unnamed level adds no label', () => {
  const { registry } = MetricsNode.process({}, undefined).namespace('').component('c');
  expect(registry.labels).toEqual({ dynamo_component: 'c' });
});
