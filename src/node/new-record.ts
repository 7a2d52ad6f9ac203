import { contains, type Prefix } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Sources } from '../datapath/attachment.ts';
import type { Link } from '../datapath/objects.ts';
import type { Pod } from '../policy/match.ts';
import { hasName, outlineOfRanges, programName } from '../policy/program.ts';
import type { Choice } from '../sources/policies.ts';
import { recordVersion } from '../store/migration.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { AddRequest } from './add.ts';
import type { Machine } from './machine.ts';

/** The record of an attachment, without ports of its own. Throws `no-address` and `not-routed`. */
export async function newRecord(
  { host }: Machine,
  request: AddRequest,
  { outline, digest }: Choice,
): Promise<AttachmentRecord> {
  const { attachment, pod, podNetwork } = request;
  if (podNetwork.addresses.length === 0) {
    throw new EgressError('no-address', `prevResult has no IP address for ${attachment.ifname}`);
  }
  const links = await hostLinks(request, host);
  for (const address of podNetwork.addresses) {
    if (await host.isOnLink(address)) continue;
    throw new EgressError(
      'not-routed',
      `The node reaches the pod's address ${address} through another host, not by an interface of its own`,
    );
  }
  const { clusterCIDRs } = request.policies.configuration;
  const subnets = outsideOf(podNetwork.subnets, clusterCIDRs);
  return {
    version: recordVersion,
    ...attachment,
    pod,
    addresses: podNetwork.addresses,
    subnets,
    links: links.filter(({ type }) => type === 'veth').map(({ name, index }) => ({ name, index })),
    cluster: outlineOfRanges(clusterCIDRs),
    program: programName(digest, subnets, clusterCIDRs),
    outline,
    ...sourcesOf(request.policies.configuration, pod, links),
  };
}

/** The pod's own networks that are none of the cluster's. */
export const outsideOf = (subnets: readonly Prefix[], clusterCIDRs: readonly Prefix[]): readonly Prefix[] =>
  subnets.filter((subnet) => !clusterCIDRs.some((cidr) => contains(cidr, subnet)));

/** Only a veth tells which pod a packet comes from. */
function sourcesOf(
  { checkSources, extraSources }: Configuration,
  pod: Pod,
  links: readonly Link[],
): { sources?: Sources } {
  const devices = links.filter(({ type }) => type === 'veth').map(({ name }) => name);
  if (!checkSources || devices.length === 0) return {};
  const others = extraSources.filter((extra) => hasName(extra, pod)).flatMap(({ addresses }) => addresses);
  return { sources: { devices, others: [...new Set(others)] } };
}

/** Packets of a macvlan, ipvlan or moved device never pass the host's routing: there is nothing on the host's side. */
async function hostLinks({ podNetwork }: AddRequest, host: Machine['host']): Promise<Link[]> {
  const links: Link[] = [];
  for (const name of podNetwork.hostInterfaces) {
    const link = await host.readLink(name);
    if (link !== undefined) links.push(link);
  }
  if (links.length > 0) return links;
  const named = podNetwork.hostInterfaces.map((name) => `"${name}"`).join(', ') || 'none';
  throw new EgressError('not-routed', `prevResult names no interface on the host's side that exists here (${named})`);
}

/**
 * Whether all is there of a pod on the host's side, and up: DEL sets it down first. An address of a pod that is gone may be
 * another's by now.
 */
export async function isRunning(
  { host }: Pick<Machine, 'host'>,
  { addresses, hostInterfaces }: AddRequest['podNetwork'],
): Promise<boolean> {
  for (const name of hostInterfaces) if ((await host.readLink(name))?.up !== true) return false;
  return addresses.length > 0 && hostInterfaces.length > 0;
}
