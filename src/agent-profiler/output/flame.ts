import type { NestedStack } from '../analysis/nested-stack.ts';

/** Calls with one stack of names, over all requests. */
export interface FlameFrame {
  readonly name: string;
  readonly type: string;
  seconds: number;
  selfS: number;
  calls: number;
  readonly children: Map<string, FlameFrame>;
}

const MAX_DEPTH = 60;

/** Adds up the call trees by their stacks of names; what lies deeper than 60 frames counts in the 60th. */
export function flame(stack: NestedStack): FlameFrame {
  const root = frame('all requests', 'FUNCTION');
  const path: FlameFrame[] = [root];
  for (let i = 0; i < stack.size; i++) {
    const node = stack.node(i);
    const depth = Math.min(node.depth, MAX_DEPTH);
    const parent = path[depth]!;
    const key = `${node.operation_type}:${node.operation_name}`;
    let at = parent.children.get(key);
    if (at === undefined) {
      at = frame(node.operation_name, node.operation_type);
      parent.children.set(key, at);
    }
    at.calls++;
    at.selfS += node.self_time;
    at.seconds += node.subtree_time;
    if (node.depth === 0) root.seconds += node.subtree_time;
    path[depth + 1] = at;
    path.length = depth + 2;
  }
  return root;
}

function frame(name: string, type: string): FlameFrame {
  return { name, type, seconds: 0, selfS: 0, calls: 0, children: new Map() };
}
