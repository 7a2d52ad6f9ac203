import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pluginFolder, toolFolder } from '../support/tools.ts';
import { copyIptables, copyNft } from './copies.ts';
import type { BenchNode, BenchPod } from './node.ts';
import { call, prevResult, type Verb } from './plugins.ts';
import type { Command } from './process.ts';

// Plugins that do something like ours, for the same pods.

/** A plugin, and how it is called. */
export interface Peer {
  readonly name: string;
  /** Programs without which it cannot be called. */
  readonly needs: readonly string[];
  /** It makes an interface in the pod's namespace, so each pod needs one that has none yet. */
  readonly makesInterface: boolean;
  command(node: BenchNode, verb: Verb, pod: BenchPod): Command;
  /** Gives pods what ADD gives them, as copies of what a pod has that had one. */
  fill(node: BenchNode, model: BenchPod, pods: readonly BenchPod[]): Promise<void>;
}

/** Where install/tools.sh puts the plugins that it builds for the bench. */
const builtFolder = join(toolFolder, 'bench');

type Backend = 'iptables' | 'nftables';

/** One port of the node for the pod. */
const portmapOf = (name: string, folder: string, backend: Backend): Peer => ({
  name,
  needs: [join(folder, 'portmap')],
  makesInterface: false,
  command: (_, verb, pod) =>
    call(join(folder, 'portmap'), verb, pod, {
      type: 'portmap',
      ...(backend === 'nftables' && { backend }),
      capabilities: { portMappings: true },
      runtimeConfig: { portMappings: [{ hostPort: pod.hostPort, containerPort: 80, protocol: 'tcp' }] },
    }),
  fill: (node, model, pods) =>
    backend === 'nftables' ? copyNft(node, 'ip cni_hostport', model, pods) : copyIptables(node, 'CNI-DN-', model, pods),
});

/** Makes the pod's interface, and masquerades what leaves the cluster. */
const ptpOf = (name: string, folder: string, backend: Backend): Peer => ({
  name,
  needs: ['ptp', 'host-local'].map((program) => join(folder, program)),
  makesInterface: true,
  command: ({ dataDir }, verb, pod) =>
    call(join(folder, 'ptp'), verb, pod, {
      type: 'ptp',
      ipMasq: true,
      ...(backend === 'nftables' && { ipMasqBackend: backend }),
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/16' }]], dataDir: join(dataDir, 'ipam') },
      prevResult: undefined,
    }),
  fill: (node, model, pods) =>
    backend === 'nftables'
      ? copyNft(node, 'inet cni_plugins_masquerade', model, pods, /\b10\.1\.\d+\.[1-9]\d*\b/)
      : copyIptables(node, 'CNI-', model, pods, /\b10\.1\.\d+\.[1-9]\d*\b/),
});

/** As version 0.4.0 of CNI has it. */
function oldResult(pod: BenchPod) {
  const result = prevResult(pod);
  return { ...result, cniVersion: '0.4.0', ips: result.ips.map((ip) => ({ ...ip, version: '4' })) };
}

/** Makes a second interface in the pod, whose packets have the node's address. */
const awsOf = (name: string, folder: string): Peer => ({
  name,
  needs: ['aws-egress-cni', 'host-local'].map((program) => join(folder, program)),
  makesInterface: true,
  command: ({ dataDir }, verb, pod) =>
    call(join(folder, 'aws-egress-cni'), verb, pod, {
      cniVersion: '0.4.0',
      type: 'aws-egress-cni',
      enabled: 'true',
      mtu: '1500',
      ifName: 'v4if0',
      nodeIP: '192.168.0.240',
      randomizeSNAT: 'prng',
      pluginLogFile: join(dataDir, 'aws.log'),
      pluginLogLevel: 'ERROR',
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '169.254.172.0/22' }]],
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: join(dataDir, 'ipam'),
      },
      prevResult: oldResult(pod),
    }),
  fill: (node, model, pods) => copyIptables(node, 'CNI-E4-', model, pods, /\b169\.254\.17\d\.[1-9]\d*\b/),
});

const byHand: Peer = {
  name: 'nft and ip by hand',
  needs: [],
  makesInterface: false,
  command: (_, verb, pod) => ({
    program: join(import.meta.dirname, 'by-hand.sh'),
    args: [verb, pod.address],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  }),
  fill: async ({ machine }, _, pods) => {
    const elements = pods.map(({ address }) => `${address} : goto partners`).join(', ');
    await machine.must(['nft', '-f', '-'], { stdin: `add element inet by-hand pods { ${elements} }\n` });
  },
};

/** All peers: the first is what ratios are to. */
export function peers(): readonly Peer[] {
  const newest = versionOf('plugins');
  return [
    portmapOf('portmap', pluginFolder, 'iptables'),
    portmapOf(`portmap ${newest}`, builtFolder, 'iptables'),
    portmapOf(`portmap ${newest}, nftables`, builtFolder, 'nftables'),
    ptpOf('ptp', pluginFolder, 'iptables'),
    ptpOf(`ptp ${newest}`, builtFolder, 'iptables'),
    ptpOf(`ptp ${newest}, nftables`, builtFolder, 'nftables'),
    awsOf(`AWS egress-cni ${versionOf('aws')}`, builtFolder),
    byHand,
  ];
}

/** The version of a project that install/tools.sh built, `1.10.0`: the file `versions` has a line for each. */
function versionOf(project: string): string {
  const file = join(builtFolder, 'versions');
  const lines = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return new RegExp(`^${project} v(.+)$`, 'm').exec(lines)?.[1] ?? '(not built)';
}

/** Why a peer cannot be measured here; `undefined` when it can. */
export const missingFor = ({ needs }: Peer): string | undefined => needs.find((program) => !existsSync(program));
