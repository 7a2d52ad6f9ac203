import { Bell, watch } from '../gateway/watch.ts';
import { Drain, type Places } from '../installer/installer.ts';
import { uninstall } from '../installer/uninstall.ts';
import { watchFolder } from '../installer/watch-folder.ts';
import type { CliSurroundings } from './command.ts';
import { requireAbsolute } from './install.ts';
import { type PlaceFlags, placesIn } from './installer-options.ts';

/** What the command is told on the command line. */
export interface UninstallFlags extends PlaceFlags {
  readonly confName?: string;
  readonly binary?: true;
  readonly drain?: true;
}

/** `egress uninstall`: takes the chain entry out, and says what stays. */
export async function takeOut(flags: UninstallFlags, surroundings: CliSurroundings): Promise<void> {
  const places = placesIn(flags);
  requireAbsolute({ ...places });
  const { hostTools, write } = surroundings;
  if (flags.drain && !(await drained(places, flags, surroundings))) return;
  for (const line of uninstall(places, hostTools, { binary: flags.binary === true })) write(`${line}\n`);
}

/**
 * Keeps egress in the chain, where it steers no new pod, until the last pod that it steers has ended: containerd calls
 * DEL of those who are in the chain then. False when it was told to end before that; all stays as it is then.
 */
async function drained(places: Places, flags: UninstallFlags, surroundings: CliSurroundings): Promise<boolean> {
  const drain = new Drain(places, { dataDir: flags.dataDir, fileName: flags.confName }, surroundings.hostTools);
  using service = surroundings.openService();
  const [bell, done] = [new Bell(), new AbortController()];
  using _records = watchFolder(drain.records, bell.ring);
  using _chain = watchFolder(drain.chain, bell.ring);
  let told = -1;
  const look = async () => {
    const pods = drain.look();
    if (pods === 0) return done.abort();
    if (pods !== told) surroundings.write(`${pods} attachments of pods are steered until they end\n`);
    told = pods;
  };
  const report = (error: unknown) => service.report(error, 'It is tried again until then.');
  await watch({ look, report, bell, signal: AbortSignal.any([service.signal, done.signal]) });
  return done.signal.aborted;
}
