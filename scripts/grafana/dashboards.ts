import type { Dashboard } from './dashboard.ts';
import { OVERVIEW } from './overview.ts';
import { ROUTING } from './routing.ts';
import { WORKERS } from './workers.ts';

/** What `deploy/grafana/dashboards` holds, one file each. */
export const DASHBOARDS: readonly Dashboard[] = [OVERVIEW, ROUTING, WORKERS];
