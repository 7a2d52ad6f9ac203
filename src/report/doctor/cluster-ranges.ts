import { contains, type Prefix } from '../../base/address.ts';
import type { Configuration } from '../../config/configuration.ts';
import { coverAll } from '../../policy/prefixes.ts';
import type { AttachmentRecord } from '../../store/record.ts';
import { podName } from '../asked-pod.ts';
import type { Facts } from './facts.ts';
import { fault, few, ok, orOk, type Seen } from './finding.ts';

/** `clusterCIDRs`: too wide, and policies have no effect; too narrow, and packets between pods are steered. */
export function clusterRanges({ networks, pods }: Facts): readonly Seen[] {
  const found = networks.flatMap(({ name, problem, configuration }): readonly Seen[] => {
    if (configuration === undefined) {
      return [
        fault(
          `the configuration of network "${name}" cannot be read: ${problem}`,
          'egress validate FILE names each mistake',
        ),
      ];
    }
    return [
      ...tooWide(configuration),
      ...tooNarrow(
        configuration,
        pods.filter(({ network }) => network === name),
      ),
    ];
  });
  if (networks.length === 0) return [ok('no network has egress in its chain')];
  const ranges = [...new Set(networks.flatMap(({ configuration }) => configuration?.clusterCIDRs ?? []))];
  return orOk(
    found,
    `${ranges.slice(0, 4).join(', ')}${ranges.length > 4 ? ', …' : ''} hold no destination of a policy`,
  );
}

function tooWide({ policies, clusterCIDRs }: Configuration): readonly Seen[] {
  const lost = policies.filter(
    ({ exit, destinations, except }) => exit !== 'node' && coverAll([...except, ...clusterCIDRs], destinations),
  );
  return few(
    lost.map(({ name, destinations }) => {
      const range = clusterCIDRs.find((each) => destinations.some((to) => contains(each, to)));
      return fault(
        `policy "${name}" fits no packet: all its destinations are inside ranges of the cluster${range ? ` (${range})` : ''}, which are never steered`,
        `in clusterCIDRs, write only ranges of pods and services${range ? ` in place of ${range}` : ''}; then recreate the pods, or egress adopt --outdated`,
      );
    }),
  );
}

/** A pod's own network is always left alone, so only pods elsewhere suffer: what is missing here is missing for them. */
function tooNarrow({ policies, clusterCIDRs }: Configuration, pods: readonly AttachmentRecord[]): readonly Seen[] {
  const missing = new Map<Prefix | string, Seen>();
  for (const pod of pods) {
    for (const address of pod.addresses) {
      if (clusterCIDRs.some((range) => contains(range, address))) continue;
      const policy = policies.find(
        ({ exit, destinations, except }) =>
          exit !== 'node' &&
          destinations.some((range) => contains(range, address)) &&
          !except.some((range) => contains(range, address)),
      );
      const subnet = pod.subnets.find((range) => contains(range, address)) ?? address;
      if (policy === undefined || missing.has(subnet)) continue;
      missing.set(subnet, narrow(pod, address, policy.name, subnet));
    }
  }
  return few([...missing.values()]);
}

const narrow = (pod: AttachmentRecord, address: string, policy: string, subnet: string): Seen =>
  fault(
    `${address} of ${podName(pod)} is in no range of clusterCIDRs, and policy "${policy}" is for it: packets to pods of other nodes leave by an exit`,
    `add the ranges of all pods and services to clusterCIDRs, also that of ${subnet}; then recreate the pods, or egress adopt --outdated`,
  );
