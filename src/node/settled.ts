import type { Machine } from './machine.ts';

/**
 * The result of a look that changes nothing. Beside it ADDs and DELs go on, and it may see the half of one. So when
 * something seems wrong, or the look fails, it is made once more with the store's lock. Under the lock each of our
 * calls is done or not begun. A look that finds all well makes nobody wait.
 *
 * @param isFine whether the result needs no second look
 */
export async function settled<T>(
  { store }: Pick<Machine, 'store'>,
  look: () => Promise<T>,
  isFine: (found: T) => boolean,
): Promise<T> {
  try {
    const found = await look();
    if (isFine(found)) return found;
  } catch {
    // The second look tells whether it is so.
  }
  using _lock = await store.lockToLook();
  return await look();
}
