/** All members of a type by name, those that may be absent as well. */
export type Every<T> = { readonly [K in keyof T]-?: T[K] | undefined };

/** Data of a type, from a list of all its members: one that the type gets later has to be named here, too. Absent is `undefined`. */
export const whole = <T extends object>(members: Every<T>): T =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;

/** For the rest of an object of which every member was taken by name: when there is one more, this does not compile. */
export const nothingElse = (_rest: Readonly<Record<string, never>>): void => undefined;
