/** All members of a type by name, optional ones too. */
export type Every<T> = { readonly [K in keyof T]-?: T[K] | undefined };

/** Data of a type, from a list of all its members: one that the type gets later has to be named here, too. Absent is `undefined`. */
export const whole = <T extends object>(members: Every<T>): T =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;

/**
 * Takes the rest of an object after all its members were taken by name. It does not compile while the type has another
 * member.
 */
export const nothingElse = (_rest: Readonly<Record<string, never>>): void => undefined;
