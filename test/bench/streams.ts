import type { Namespace } from '../support/namespace.ts';
import type { Daemon } from '../support/run.ts';
import { program, tool } from '../support/tools.ts';

/** What a program of stream.py saw since it was asked last. */
export interface Seen {
  /** The longest time between two packets of one stream, or since its last one, in milliseconds. */
  readonly gap: number;
  readonly packets: number;
  readonly lost: number;
  readonly sources: readonly string[];
}

/** Starts a program of stream.py, until it says that it is ready. */
export const startStream = (
  network: Namespace,
  role: 'send' | 'receive' | 'ping',
  ...words: readonly string[]
): Promise<Daemon> =>
  network.start([tool('python3'), program('stream.py'), role, ...words], role === 'receive' ? 'listens' : 'sends');

/** Asks it, which begins anew with that. */
export async function asked(daemon: Daemon): Promise<Seen> {
  const skip = daemon.lines.length;
  daemon.signal('SIGUSR1');
  return JSON.parse((await daemon.line('round ', skip)).replace('round ', '')) as Seen;
}
