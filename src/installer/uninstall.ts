import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { counted } from '../base/counted.ts';
import { filesIn, syncFolder } from '../files/file.ts';
import { stagedName, stagingIn } from './binary.ts';
import { pluginType } from './entry.ts';
import { type HostTools, lockBinaries, type Places, placesOf } from './installer.ts';
import { release } from './network.ts';
import { releasePolicy } from './policy.ts';

/**
 * Takes egress out of the host, the network configuration first. The binary stays unless it is asked for and no pod needs
 * it any more: runtimes call it for DEL with the configuration that the pod was started with. Returns what to tell a
 * person.
 */
export async function uninstall(
  places: Places,
  tools: HostTools,
  options: { readonly binary: boolean },
): Promise<string[]> {
  const { bin, conf, policy, policyNote, data } = placesOf(places);
  const staging = stagingIn(bin());
  if (!existsSync(bin())) return release({ folder: conf, ...tools });
  const said: string[] = [];
  {
    using _lock = await lockBinaries(bin(), tools.lockFile);
    rmSync(join(staging, stagedName), { force: true });
    said.push(...release({ folder: conf, ...tools }), ...releasePolicy(policy(), policyNote()));
    said.push(...releaseKept(data()));
    said.push(releaseBinary(join(bin(), pluginType), data(), options.binary));
  }
  if (!existsSync(join(bin(), pluginType))) rmSync(staging, { recursive: true, force: true });
  return said;
}

/** What people said of gateways: where exits were moved to, and that this node hands its own over. */
const saidOfGateways = ['moves.json', 'drained'] as const;

/**
 * What is kept of the policy file says that there was one: pods would wait for it after the next installation. What was said
 * of gateways would be true again then, wherever exits are by that time; pods that run still need it. A container may
 * have the data folder to read alone.
 */
function releaseKept(dataDir: string): string[] {
  const pods = filesIn(join(dataDir, 'attachments')).length;
  const names = ['policies.summary', ...(pods > 0 ? [] : saidOfGateways)];
  return names.flatMap((name) => released(join(dataDir, name)));
}

function released(path: string): string[] {
  try {
    rmSync(path, { force: true });
    return [];
  } catch (error) {
    return [`${path} is left: ${error instanceof Error ? error.message : error}; remove it`];
  }
}

function releaseBinary(place: string, dataDir: string, wanted: boolean): string {
  if (!existsSync(place)) return `${place} is not there`;
  const pods = filesIn(join(dataDir, 'attachments')).length;
  if (!wanted) return `${place} is left: pods that run need it when they end; --binary removes it after the last one`;
  if (pods > 0)
    return `${place} is left: ${counted(pods, 'attachment')} of pods need${pods === 1 ? 's' : ''} it when ${pods === 1 ? 'it ends' : 'they end'}`;
  rmSync(place);
  syncFolder(join(place, '..'));
  return `removed ${place}`;
}
