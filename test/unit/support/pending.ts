/** Whether a promise still waits for something from outside when all that needs no waiting is done. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const waits = Symbol('waits');
  const later = new Promise((resolve) => setImmediate(resolve, waits));
  return (await Promise.race([promise, later])) === waits;
}
