import { isReset } from './counting.ts';
import type { Change } from './difference.ts';
import { type HostObject, kindOf } from './objects.ts';
import { isSpareWayBack } from './way-back.ts';

/** A change in sentences for a person: the object is missing, different, or stale. */
export function describe(change: Change): readonly string[] {
  if (isReset(change) || isSpareWayBack(change)) return [];
  const { object } = change;
  if (change.verb === 'add') return [`${nameOf(object)} is missing`];
  if (change.verb === 'remove') return [`${nameOf(object)} should not be there`];
  return kindOf(object).describe?.(object, change.observed) ?? [`${nameOf(object)} is not as expected`];
}

/** The object in the words of the tool that shows it. */
export const nameOf = (object: HostObject): string => kindOf(object).text(object);
