import type { Log } from '../node/machine.ts';
import { podName } from '../report/asked-pod.ts';
import type { Adoption } from '../runtimes/adopt.ts';
import { mendedIn, type Round } from './round.ts';

/** When something came to be wrong, as far as the kernel's notifications tell. */
export interface Since {
  /** Milliseconds since the first notification behind the last look that found all well; `undefined` when none came. */
  readonly noticed: number | undefined;
  /** Milliseconds since that look; `undefined` for the first. */
  readonly fine: number | undefined;
}

/**
 * Says what rounds did, one line for each thing that happened. A failure is said once, until it is over or another one.
 */
export class Journal {
  readonly #log: Log;
  #failures: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Takes what a round did; `changed`: because the configuration is another one, and not because somebody was here. */
  tell(round: Round, since: Since, changed: boolean): void {
    const { adopted, collected, failures } = round;
    const mended = mendedIn(round);
    if (mended.length > 0) {
      const fields = { [changed ? 'applied' : 'mended']: mended, ...(changed ? {} : wrongFor(since)) };
      this.#log.info(fields, changed ? 'the node is as the configuration says now' : mendedWords(since));
    }
    for (const adoption of adopted) this.#log.info(fieldsOf(adoption), wordsOf(adoption));
    if (collected.length > 0) this.#log.info({ collected }, 'took down what pods left that are gone');
    this.#tellFailures(new Set(failures));
  }

  #tellFailures(failures: ReadonlySet<string>): void {
    for (const failure of failures) if (!this.#failures.has(failure)) this.#log.warn({ failure }, 'could not be done');
    for (const failure of this.#failures) if (!failures.has(failure)) this.#log.info({ failure }, 'is no more');
    this.#failures = failures;
  }
}

/** Of the first round nobody knows whether somebody took it: of a new gateway nothing was there. */
const mendedWords = ({ fine }: Since): string =>
  fine === undefined ? 'set up what was not there when the agent began' : 'put back what somebody had taken or changed';

/** Fields of a line in the log: how long it was wrong, or how long at most. */
function wrongFor({ noticed, fine }: Since): { wrongForMs?: number; wrongForMsAtMost?: number } {
  if (noticed !== undefined) return { wrongForMs: Math.round(noticed) };
  return fine === undefined ? {} : { wrongForMsAtMost: Math.round(fine) };
}

const fieldsOf = ({ pod, network, containerId, ifname, exits, outdated }: Adoption) => ({
  pod: podName({ pod, containerId }),
  ...{ network, containerId, ifname, exits },
  ...(outdated && { because: outdated }),
});

const wordsOf = ({ exits, outdated }: Adoption): string => {
  if (outdated === undefined) return 'a pod from before has its exits now';
  return exits.length === 0 ? 'a pod has no exit any more' : 'a pod has what the policies say now';
};
