import { isEqual } from '../base/canonical.ts';
import { type HostObject, kindOf } from './objects.ts';

/** A change of one object, after which it is as it should be. */
export type Change =
  | { readonly verb: 'add'; readonly object: HostObject }
  | { readonly verb: 'remove'; readonly object: HostObject }
  | { readonly verb: 'replace'; readonly object: HostObject; readonly observed: HostObject };

/**
 * Turns `observed` into `desired`: additions and replacements in the order of `desired`, then removals. ADD applies it,
 * CHECK reports it, DEL and GC apply it to nothing, `--dry-run` prints it.
 */
export function difference(desired: readonly HostObject[], observed: readonly HostObject[]): Change[] {
  const found = new Map(observed.map((object) => [keyOf(object), object]));
  const wanted = new Set(desired.map(keyOf));
  return [
    ...desired.flatMap((object) => changeOf(object, found.get(keyOf(object)))),
    ...observed.filter((object) => !wanted.has(keyOf(object))).map((object): Change => ({ verb: 'remove', object })),
  ];
}

function changeOf(object: HostObject, observed: HostObject | undefined): Change[] {
  if (observed === undefined) return [{ verb: 'add', object }];
  return same(object, observed) ? [] : [{ verb: 'replace', object, observed }];
}

/**
 * Whether a change of a table is one of its flags alone. A table that is replaced by an equal one loses its content.
 */
export const isOfFlags = (change: Change): boolean =>
  change.verb === 'replace' && change.object.kind === 'table' && !isEqual(change.object, change.observed);

/** The identity of an object on two lists. */
export const keyOf = (object: HostObject): string => kindOf(object).key(object);

const same = (desired: HostObject, observed: HostObject): boolean =>
  kindOf(desired).isSame?.(desired, observed) ?? isEqual(desired, observed);
