import type { Work } from '../../../src/cli/command.ts';

/** Work that nobody watches, and nobody ends. */
export const quietWork: Work & Disposable = {
  onward: async () => true,
  tell: () => {},
  isEnding: false,
  [Symbol.dispose]: () => {},
};
