import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { egressBinary } from '../support/tools.ts';
import type { BenchNode, BenchPod } from './node.ts';
import type { Command } from './process.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'VERSION';

/** The name of the network that pods of the bench are in. */
export const network = 'bench';

/** One call as a runtime makes it: the request on stdin, and an environment of CNI_* and PATH. */
export function call(program: string, verb: Verb, pod: BenchPod, entry: object, namespace = 'default'): Command {
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    CNI_COMMAND: verb,
    CNI_PATH: dirname(program),
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: pod.network.path,
    CNI_IFNAME: pod.interface,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod.containerId}`,
  };
  return {
    program,
    env,
    stdin: JSON.stringify({ cniVersion: '1.0.0', name: network, prevResult: prevResult(pod), ...entry }),
  };
}

/** What the plugin `ptp` would have answered. */
export const prevResult = (pod: BenchPod) => ({
  cniVersion: '1.0.0',
  interfaces: [
    { name: pod.hostInterface, mac: '02:00:00:00:00:01' },
    { name: pod.interface, mac: '02:00:00:00:00:02', sandbox: pod.network.path },
  ],
  ips: [{ address: `${pod.address}/24`, gateway: '10.0.255.254', interface: 1 }],
  routes: [{ dst: '0.0.0.0/0' }],
  dns: {},
});

/** Our binary with one policy, which is for pods of the Kubernetes namespace `default`. */
export const egress = (
  { dataDir }: BenchNode,
  verb: Verb,
  pod: BenchPod,
  {
    namespace = 'default',
    binary = egressBinary,
    fastPath,
  }: { readonly namespace?: string; readonly binary?: string; readonly fastPath?: true } = {},
): Command =>
  call(
    binary,
    verb,
    pod,
    {
      cniVersion: '1.1.0',
      type: 'egress',
      dataDir,
      clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
      exits: [
        {
          ...{ name: 'partners', interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] },
          ...(fastPath && { fastPath }),
        },
      ],
      policies: [{ name: 'bench', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'partners' }],
    },
    namespace,
  );

/** Our binary with a policy file, for a pod of the Kubernetes namespace `default` or another. */
export const egressByFile = (
  { dataDir }: BenchNode,
  verb: Verb,
  pod: BenchPod,
  policyFile: string,
  { namespace = 'default', binary = egressBinary }: { readonly namespace?: string; readonly binary?: string } = {},
): Command => call(binary, verb, pod, { type: 'egress', dataDir, policyFile }, namespace);

/** Another build of egress to measure beside this one, as `EARLIER_EGRESS` names it; undefined without it. */
export const earlierBinary = process.env.EARLIER_EGRESS;

const recordFile = ({ dataDir }: BenchNode, pod: BenchPod): string =>
  join(dataDir, 'attachments', `${network}+${pod.containerId}+${pod.interface}.json`);

const readRecord = (node: BenchNode, pod: BenchPod) =>
  JSON.parse(readFileSync(recordFile(node, pod), 'utf8')) as { readonly program: string };

/** The maps that a packet of a steered pod may be looked up in, or that the table has of them: not every build has all. */
const podMaps = ['pods4', 'programs4'];

/** Puts the pods' addresses into the maps, with the program of `model`, which had a real ADD. */
export async function fillMap(node: BenchNode, model: BenchPod, pods: readonly BenchPod[]): Promise<void> {
  const { program } = readRecord(node, model);
  const elements = pods.map(
    (pod) => `${pod.address} comment "${network}/${pod.containerId}/${pod.interface}" : goto ${program}`,
  );
  const table = await node.machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
  const maps = podMaps.filter((map) => table.includes(`map ${map} {`));
  const stdin = maps.map((map) => `add element inet cni-egress ${map} { ${elements.join(', ')} }\n`).join('');
  await node.machine.must(['nft', '-f', '-'], { stdin });
}
