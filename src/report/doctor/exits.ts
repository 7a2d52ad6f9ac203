import {
  type Address,
  contains,
  type Family,
  families,
  familyOf,
  type Prefix,
  parsePrefix,
} from '../../base/address.ts';
import { EgressError, errorTable } from '../../base/errors.ts';
import type { Configuration } from '../../config/configuration.ts';
import { lostFamilies } from '../../config/family-warnings.ts';
import type { Host } from '../../datapath/host.ts';
import { resolveForPod } from '../../node/exits.ts';
import type { Exit } from '../../policy/exit.ts';
import { programFor } from '../../policy/program.ts';
import type { AttachmentRecord } from '../../store/record.ts';
import { podName } from '../asked-pod.ts';
import type { Facts } from './facts.ts';
import { fault, few, orOk, type Seen, warning } from './finding.ts';

/** What is configured and cannot work on this node, whether a pod uses it already or would be the first. */
export async function exits(facts: Facts): Promise<readonly Seen[]> {
  const found: Seen[] = [];
  for (const { name, configuration } of facts.networks) {
    if (configuration === undefined) continue;
    for (const exit of configuration.exits.filter((each) => isUsed(each, configuration))) {
      found.push(...(await startable(facts.host, exit)), ...(await routedHere(facts, exit)));
    }
    const pods = facts.pods.filter(({ network }) => network === name);
    found.push(...few(withoutFamily(configuration, pods)));
  }
  return orOk(
    [...new Map(found.map((seen) => [seen.text, seen])).values()],
    'what is configured can be had on this node',
  );
}

const isUsed = ({ name, annotationNamespaces }: Exit, { policies }: Configuration): boolean =>
  annotationNamespaces.length > 0 || policies.some(({ exit }) => exit === name);

/** Whether the next pod of a local exit would start. */
async function startable(host: Host, exit: Exit): Promise<readonly Seen[]> {
  if (exit.gateways.length > 0) return [];
  try {
    const { device } = await resolveForPod(host, exit, undefined, {});
    for (const family of families) {
      const hop = exit.nextHops[family];
      if (hop !== undefined && !exit.onlink && !(await isBehind(host, hop, device))) throw outside(hop, device);
    }
    return [];
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    const { number, remedy } = errorTable[error.code];
    const what = `new pods of exit "${exit.name}" do not start on this node (${number}): ${error.message}`;
    return [fault(what, remedy.charAt(0).toLowerCase() + remedy.slice(1))];
  }
}

const outside = (hop: Address, device: string): EgressError =>
  new EgressError('exit-next-hop', `${hop} is in no network of ${device}`);

/** As the kernel asks before it takes the route. A link-local router is behind whatever interface is named. */
async function isBehind(host: Host, hop: Address, device: string): Promise<boolean> {
  if (hop.startsWith('fe80:')) return true;
  const link = await host.readLink(device);
  const networks = networksOf(link ? await host.listAddresses(link) : []).filter(
    (range) => familyOf(range) === familyOf(hop),
  );
  if (networks.length === 0 || networks.some((range) => contains(range, hop))) return true;
  const route = await host.routeTo(hop);
  return route?.type === 'unicast' && route.via === undefined && route.device === device;
}

const networksOf = (addresses: Awaited<ReturnType<Host['listAddresses']>>): Prefix[] =>
  addresses.flatMap(({ address, prefixLength }) =>
    prefixLength === (familyOf(address) === 4 ? 32 : 128) ? [] : (parsePrefix(`${address}/${prefixLength}`) ?? []),
  );

/** An address that we give to a gateway, and announce to a network that it is not of. */
async function routedHere({ host, node }: Facts, exit: Exit): Promise<readonly Seen[]> {
  const served = node?.exits.find(({ name, gateway }) => name === exit.name && gateway === undefined);
  if (served === undefined || exit.gateways.length === 0 || exit.announce === 'elsewhere') return [];
  const link = await host.readLink(served.device);
  const all = networksOf(link ? await host.listAddresses(link) : []).filter((range) => !range.startsWith('fe80:'));
  return exit.addresses.flatMap((address) => {
    const networks = all.filter((range) => familyOf(range) === familyOf(address));
    if (networks.length === 0 || networks.some((range) => contains(range, address))) return [];
    return [
      warning(
        `${address} of exit "${exit.name}" is in no network of ${served.device} (${networks.join(', ')}): answers come only if the routers there have a route to it`,
        `give the exit a free address of the network of ${served.device}, or the routers a route to ${address} by each gateway`,
      ),
    ];
  });
}

/** Pods whose packets of a family are dropped because nobody gave the exit an address of it. */
function withoutFamily(configuration: Configuration, pods: readonly AttachmentRecord[]): readonly Seen[] {
  return lostFamilies(configuration, () => true).flatMap(({ policy, family, why, remedy }) => {
    const pod = pods.find((each) => has(each, family) && programFor([policy], each.pod).length > 0);
    return pod === undefined ? [] : [warning(`${why}: of ${podName(pod)}, for one`, remedy)];
  });
}

const has = ({ addresses }: AttachmentRecord, family: Family): boolean =>
  addresses.some((address) => familyOf(address) === family);
