import { fnv1a } from '../base/fnv1a.ts';

/** Ids of exits are 1…16382: they take the low 14 bits of the packet mark, of which all 0 and all 1 are no exit's. */
export const highestExitId = 0x3ffe;

/** Of hashes: what it was before all 1 had a meaning of its own, so that names kept their ids. */
const hashed = 0x3fff;

/**
 * The id of an exit that has none in the configuration: the same on every node, because it comes from the name alone.
 * Two names can give one id; then one of the exits must have its id set.
 */
export const exitIdOf = (name: string): number => 1 + ((fnv1a(name) % hashed) % highestExitId);
