import { isKernelError } from '../netlink/socket.ts';

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
