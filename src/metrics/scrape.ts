import type { Family, Series } from './family.ts';
import type { FamilyType } from './spec.ts';

/** Why part of an exposition was left out or mended. */
export type ScrapeProblem =
  | 'help_mismatch'
  | 'type_mismatch'
  | 'duplicate_series'
  | 'render_failed'
  | 'callback_failed'
  | 'text_source_failed'
  | 'text_family_collision';

export type ReportProblem = (reason: ScrapeProblem, subject: string, cause?: unknown) => void;

interface Member {
  readonly family: Family;
  readonly series: Series;
}

/** The families of one name, from however many registries. */
export interface FamilyGroup {
  readonly name: string;
  readonly type: FamilyType;
  readonly help: string;
  members(): Iterable<Member>;
}

/**
 * Merges families of equal name and sorts by name. Nothing here fails: the first family's TYPE and HELP win,
 * families of another type and repeated series are left out, and each is reported.
 */
export function mergeFamilies(families: Iterable<Family>, report: ReportProblem): FamilyGroup[] {
  const byName = new Map<string, Family[]>();
  for (const family of families) {
    const { name } = family.spec;
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [family]);
    else if (group[0]!.spec.type !== family.spec.type) report('type_mismatch', name);
    else {
      if (group[0]!.spec.help !== family.spec.help) report('help_mismatch', name);
      group.push(family);
    }
  }
  const names = [...byName.keys()].sort();
  return names.map((name) => groupOf(name, byName.get(name)!, report));
}

function groupOf(name: string, families: readonly Family[], report: ReportProblem): FamilyGroup {
  const { type, help } = families[0]!.spec;
  return { name, type, help, members: () => membersOf(name, families, report) };
}

function* membersOf(name: string, families: readonly Family[], report: ReportProblem): Generator<Member> {
  const seen = families.length > 1 ? new Set<string>() : undefined;
  for (const family of families) {
    for (const series of family.series()) {
      if (seen?.has(series.labelText)) report('duplicate_series', name);
      else {
        seen?.add(series.labelText);
        yield { family, series };
      }
    }
  }
}
