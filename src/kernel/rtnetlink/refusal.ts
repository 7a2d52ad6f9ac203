import { isKernelError, type KernelError } from '../netlink/socket.ts';

/**
 * The result of an exchange; `undefined` when the kernel refused it with one of these error names: there is no such
 * thing. Throws every other error.
 */
export async function unlessRefused<T>(exchange: Promise<T>, ...codes: string[]): Promise<T | undefined> {
  try {
    return await exchange;
  } catch (error) {
    if (isKernelError(error, ...codes)) return undefined;
    throw error;
  }
}

/** Throws the first refusal of requests that were sent together, but for those with one of these error names. */
export function throwUnless(refusals: readonly (KernelError | undefined)[], ...codes: string[]): void {
  const error = refusals.find((refusal) => refusal !== undefined && !codes.includes(refusal.code));
  if (error !== undefined) throw error;
}
