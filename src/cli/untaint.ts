import { NodeTaint, type TaintTools } from '../installer/node-taint.ts';
import { type Bell, watch } from '../loop/watch.ts';
import type { CliSurroundings } from './command.ts';

/** What {@link keepUntainted} has around it. */
export interface Untainting extends Pick<CliSurroundings, 'write' | 'remark'> {
  readonly tools: TaintTools;
  /** Whether the node is ready for pods. */
  isReady(): boolean;
  /** Rung when that may have changed. */
  readonly bell: Bell;
  readonly signal: AbortSignal;
}

/**
 * Takes the start-up taint off this node when it is ready for pods, until the signal is aborted. It goes on beside the
 * installer's looks: an API that is slow, or not there, holds up no repair.
 */
export async function keepUntainted({ tools, isReady, bell, signal, write, remark }: Untainting): Promise<void> {
  const taint = new NodeTaint(tools);
  let reported = '';
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    clearTimeout(timer);
    if (!isReady()) return;
    const { ok, text, lookAgainMs } = await taint.look();
    if (text !== reported) ok ? write(`taint: ${text}\n`) : remark(`egress: taint: ${text}\n`);
    reported = text;
    if (lookAgainMs !== undefined) timer = setTimeout(bell.ring, lookAgainMs);
  };
  try {
    await watch({ look, report: (error) => remark(`egress: taint: ${error}\n`), bell, signal });
  } finally {
    clearTimeout(timer);
  }
}
