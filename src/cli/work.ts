import type { CliSurroundings, Work } from './command.ts';

/** After a signal: what was under way is done, and what is left is as it was. */
export function tellEnding(work: Work, { remark, setExitCode }: Pick<CliSurroundings, 'remark' | 'setExitCode'>): void {
  if (!work.isEnding) return;
  setExitCode(1);
  remark('egress: ended by a signal. What follows was done; the rest is as it was, and the same command does it.\n');
}
