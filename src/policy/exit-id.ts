import { fnv1a } from '../base/fnv1a.ts';

/** Ids of exits are 1…16383: they take the low 14 bits of the packet mark, and 0 means none. */
export const highestExitId = 0x3fff;

/**
 * The id of an exit that has none in the configuration: the same on every node, because it comes from the name alone.
 * Two names can give one id; then one of the exits must have its id set.
 */
export const exitIdOf = (name: string): number => 1 + (fnv1a(name) % highestExitId);
