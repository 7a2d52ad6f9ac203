import { type Address, nobody } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host } from '../datapath/host.ts';
import type { NodeNumbers } from '../datapath/layout.ts';
import type { Needs } from '../datapath/needs.ts';
import type { HostObject } from '../datapath/objects.ts';
import { type Hindrance, hindranceText } from '../datapath/passage.ts';
import { looseReversePath, reversePathName, validMarkName } from '../datapath/reverse-path.ts';
import { desiredWayBack, tunnelWayBack } from '../datapath/way-back.ts';

/**
 * The objects that let answers past the reverse path filters of exits' interfaces, on a node without a default route
 * now. One question to the kernel, and none where nothing filters.
 */
export async function wayBackOf(
  host: Host,
  node: NodeNumbers,
  { exits, gateway }: Pick<Needs, 'exits' | 'gateway'>,
): Promise<HostObject[]> {
  const filtered = exits.filter((exit) => desiredWayBack(node, exit).length > 0 && isFiltered(host, exit));
  if (filtered.length === 0 || (await host.routeTo(nobody[4])) !== undefined) return [];
  return [...filtered.flatMap((exit) => desiredWayBack(node, exit)), ...(gateway ? tunnelWayBack(node, gateway) : [])];
}

/** A kernel without the parameter is none: nothing is known then. */
function isFiltered(host: Host, { device }: Pick<ResolvedExit, 'device'>): boolean {
  if (host.readSysctl(validMarkName(device)) === undefined) return false;
  const read = (name: string) => host.readSysctl(reversePathName(name));
  return looseReversePath(device, read('all'), read(device)) !== undefined;
}

/** {@link wayBackHindrance} in a sentence. */
export async function whyNoWayBack(host: Host, exit: ResolvedExit, from?: Address): Promise<string | undefined> {
  const hindrance = await wayBackHindrance(host, exit, from);
  return hindrance && hindranceText(hindrance);
}

/**
 * Why a reverse path filter drops answers by an exit for want of a route to their source: the objects of
 * {@link wayBackOf} are missing, or cannot help. Undefined when answers pass.
 *
 * @param from where they come from; when not given, anywhere
 */
export async function wayBackHindrance(
  host: Host,
  exit: ResolvedExit,
  from: Address = nobody[4],
): Promise<Hindrance | undefined> {
  const filter = exit.ways.some(({ family }) => family === 4) ? await filterOf(host, exit) : undefined;
  const usual = filter && (await host.routeTo(from))?.type;
  if (filter === undefined || usual === 'unicast') return undefined;
  const drops = `the reverse path filter of ${filter} drops them, since this node`;
  const hindrance = (what: string, remedy: string): Hindrance => ({
    about: 'reverse path',
    what: `${drops} has ${what} to where they come from`,
    remedy,
  });
  if (usual !== undefined) return hindrance(`a route "${usual}"`, 'take that away');
  if (exit.gateway !== undefined) return hindrance('no route', 'give it one, or a default route with a high metric');
  if (await hasWayBack(host, exit, from)) return undefined;
  return { ...hindrance('no route', 'egress repair makes up for that'), command: 'egress repair' };
}

/**
 * The interface that answers come in by, if it filters. Nobody here knows whether a gateway's answers come out of the
 * tunnel. They surely meet a filter only when the interface to the gateway has one, too.
 */
async function filterOf(host: Host, exit: ResolvedExit): Promise<string | undefined> {
  if (exit.gateway === undefined) return isFiltered(host, exit) ? exit.device : undefined;
  const { device } = (await host.routeTo(exit.gateway)) ?? {};
  return device !== undefined && isFiltered(host, { device }) ? device : undefined;
}

async function hasWayBack(host: Host, { device, id }: ResolvedExit, from: Address): Promise<boolean> {
  const isAsked = ['all', device].some((name) => host.readSysctl(validMarkName(name)) === '1');
  return isAsked && (await host.routeTo(from, id))?.type === 'unicast';
}
