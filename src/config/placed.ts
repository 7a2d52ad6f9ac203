import type { Problem } from './problem.ts';
import type { PartialDocument } from './sound.ts';

/** A part of the configuration, and the name of its source for people. */
export interface Source {
  readonly name: string;
  readonly document: PartialDocument;
  /** JSON pointers of parts that the document lacks: see {@link SoundParts}. Absent: nothing. */
  readonly lacking?: readonly string[];
}

/** The documents of several sources, checked together. */
export interface Documents extends ReadonlyArray<Placed<PartialDocument>> {}

/** Whether a source lacks something at a place: then nobody can say that it is nowhere. */
export const isLacking = (sources: readonly Source[], place: RegExp): boolean =>
  sources.some(({ lacking = [] }) => lacking.some((pointer) => place.test(pointer)));

/** A value, and where it stands. */
export interface Placed<T> {
  readonly value: T;
  /** The name of the {@link Source}. */
  readonly source: string;
  /** JSON pointer of the place in it. */
  readonly pointer: string;
}

/** The items of a list that each of the values may have under a key. */
export function placed<T, U>(
  values: readonly Placed<T>[],
  key: string,
  list: (value: T) => readonly U[] | undefined,
): Placed<U>[] {
  return values.flatMap(({ value, source, pointer }) =>
    (list(value) ?? []).map((item, i) => ({ value: item, source, pointer: `${pointer}/${key}/${i}` })),
  );
}

/** How messages call a place. */
export const placeOf = ({ source, pointer }: Placed<unknown>): string => `${source}#${pointer}`;

/** A problem at a place, or at a JSON pointer `below` it. */
export const problem = ({ source, pointer }: Placed<unknown>, below: string, message: string): Problem => ({
  source,
  pointer: pointer + below,
  message,
});
