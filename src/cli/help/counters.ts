import type { Counters } from '../../datapath/host.ts';
import type { Topic, WholeWords } from './topic.ts';

/** What is counted for the node as a whole: packets that went another way than to an exit and out. */
type NodeCounter = {
  [K in keyof Counters]: Counters[K] extends ReadonlyMap<unknown, unknown> ? never : K;
}[keyof Counters];

interface CounterWords extends WholeWords {
  /** The value of the label `reason` of `cni_egress_dropped_packets_total`; absent where it has a metric of its own. */
  readonly reason?: string;
  /** The line of `egress status`. */
  readonly line: string;
}

const words: Readonly<Record<NodeCounter, CounterWords>> = {
  dropped: {
    reason: 'policy',
    line: 'Dropped by policy',
    title: 'Dropped by policy',
    cause:
      'A policy sends the packet to the exit “drop”, or its exit has no address of the packet’s family (IPv6 with an exit of IPv4 alone).',
    remedy: 'Nothing, where it is meant; else change the policy, or give the exit an address of that family',
    example: 'Dropped by policy: 12 packets.',
    solution: 'egress explain default/web tcp/203.0.113.9:443 names the policy and the exit.',
  },
  guarded: {
    reason: 'guard',
    line: 'Kept from leaving wrongly',
    title: 'Kept from leaving wrongly',
    cause:
      'The packet had the mark of an exit, and was about to leave by another interface or with another address than the exit’s: a rule of somebody else sends it elsewhere, or a masquerade comes before ours, or the node lost the address.',
    remedy: 'Run egress doctor: rules, addresses and masquerade name the culprit',
    example: 'Kept from leaving wrongly: 3 packets.',
    solution:
      'egress doctor said: a rule of chain out of table inet fw (handle 4) translates addresses at postrouting 90 …; its remedy was followed.',
  },
  unmarked: {
    line: 'Found without our mark',
    title: 'Found without our mark',
    cause:
      'Another program took our mark from the packet on its way through the node, usually by setting the whole mark. It was put right, or dropped when it had taken another way already.',
    remedy: 'Run egress doctor: marks names rules of nftables and iptables that write our bit',
    example: 'Found without our mark, which others take from them: 7 packets.',
    solution: 'iptables -t mangle -A PREROUTING -j MARK --set-xmark 0x1/0x1 in place of --set-mark 0x1',
  },
  forged: {
    reason: 'forged',
    line: 'With a false source',
    title: 'With a false source',
    cause:
      'A pod sent with an address that is not its own, or a packet with a pod’s address came in by another interface than the pod’s.',
    remedy:
      'Let the pod send with its own address; for addresses that it may have beside it, list them in extraSources',
    example: 'With a false source: 2 packets.',
    solution: '"extraSources": [ { "namespaces": ["vpn"], "addresses": ["10.66.0.0/16"] } ]',
  },
  unserved: {
    reason: 'unserved',
    line: 'Came for an exit that is not served here',
    title: 'Came for an exit that is not served here',
    cause:
      'A node sends packets of an exit to this gateway, which does not serve it: it was taken down or moved here alone, or the policy files differ.',
    remedy:
      'On this node egress gateway; on all nodes the same policy file, and egress exit move with the same gateway',
    example: 'Came for an exit that is not served here: 40 packets. From strangers: 0 packets.',
    solution: 'egress gateway; egress status shows SERVED rise.',
  },
  strangers: {
    reason: 'stranger',
    line: 'From strangers',
    title: 'From strangers',
    cause: 'Somebody sends to the tunnel’s UDP port who is not in nodes, or a pod sends to that port of anybody.',
    remedy:
      'List the node with its address in nodes of the policy file, then egress gateway; others are kept out on purpose',
    example: 'Came for an exit that is not served here: 0 packets. From strangers: 9 packets.',
    solution: '"nodes": [ …, { "address": "172.18.0.9" } ]',
  },
};

/** A page for each counter, by its reason, its line in `egress status`, and its name. */
export const counterTopics: readonly Topic[] = (Object.keys(words) as NodeCounter[]).map((name) => {
  const { reason, line, ...rest } = words[name];
  return { kind: 'counter', names: [...new Set([...(reason ? [reason] : []), name, line.toLowerCase()])], ...rest };
});
