import { type ErrorCode, errorTable } from '../../base/errors.ts';
import type { Topic, Words } from './topic.ts';

/** Of each row of the table of errors, which has title and remedy. */
const words: Readonly<Record<ErrorCode, Words>> = {
  'incompatible-version': {
    cause: 'A call came in a version of the CNI specification that does not know it, or that egress does not speak.',
    example: 'GC came with 1.1.0, the configuration’s cniVersion is 1.0.0',
    solution: 'In the conflist: "cniVersion": "1.1.0". egress version lists the versions.',
  },
  'unsupported-field': {
    cause: 'The configuration has a field that a plugin may not have, by the CNI specification.',
    example: 'egress does not answer with it: another plugin of the chain does',
    solution: 'Look at the configuration of that plugin in the conflist.',
  },
  'unknown-container': {
    cause: 'A container is gone, or was never there, by the CNI specification.',
    example: 'egress does not answer with it: another plugin of the chain does',
    solution: 'Look at the log of that plugin.',
  },
  'invalid-environment': {
    cause:
      'A variable CNI_* is missing or has a value that the specification forbids. Runtimes do not do this; scripts do.',
    example: 'CNI_IFNAME is "eth0/1", expected at most 15 characters without "/", ":" and white space',
    solution: 'Set CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME and CNI_PATH as the specification says.',
  },
  'io-failure': {
    cause:
      'The kernel refused to read, write or send something: a full or read-only disk, a missing right, a socket that cannot be opened.',
    example: 'The kernel cannot be spoken to by netlink: socket: EPERM',
    solution: 'df -h /var/lib/cni; egress doctor tells of disk and rights.',
  },
  'decoding-failure': {
    cause: 'Standard input, or a file, is not one JSON document.',
    example: 'The network configuration on stdin is not a JSON object',
    solution: 'For a policy file: egress validate FILE names the line and the column.',
  },
  'invalid-configuration': {
    cause:
      'A chain entry or a policy file has a mistake. Pods with a policy do not start until it is mended; nothing is guessed.',
    example: '/etc/cni/egress/policy.json#/exits/0/addresses/0: expected an IP address, got "192.168.0.300"',
    solution: 'egress validate /etc/cni/egress/policy.json tells all mistakes at once.',
  },
  'try-again': {
    cause:
      'Something that will pass keeps the call from its work: another call that holds the lock for long, a file that is just being replaced.',
    example: '/var/lib/cni/egress/lock has been locked for 30 seconds by process 4711 (egress repair, sleeping)',
    solution: 'Nothing: runtimes call again by themselves. When it stays so: ps -p 4711.',
  },
  unavailable: {
    cause: 'The node lacks what egress cannot do without: nf_tables in the kernel, or the right to use it.',
    example: 'The kernel has no nf_tables (CONFIG_NF_TABLES): EOPNOTSUPP',
    solution: 'modprobe nf_tables; egress doctor tries each feature.',
  },
  'no-prev-result': {
    cause:
      'egress is the first plugin of the chain. It does not make interfaces: it steers what the plugin before it made.',
    example: 'egress must be called as a chained plugin: the network configuration has no prevResult',
    solution: '"plugins": [ { "type": "bridge", … }, { "type": "egress" } ]',
  },
  'no-address': {
    cause: 'The plugin before egress made an interface without an IP address.',
    example: 'prevResult has no IP address for eth0',
    solution: 'Give that plugin "ipam": { "type": "host-local", … }.',
  },
  'not-routed': {
    cause:
      'Packets of the pod do not pass the routing of this host, where egress could steer them: macvlan, ipvlan, host-device, or a bridge that is no gateway.',
    example: `The node reaches the pod's address 10.0.0.5 through another host, not by an interface of its own`,
    solution: '{ "type": "bridge", "isGateway": true, … }, or { "type": "ptp", … }',
  },
  'exit-interface': {
    cause:
      'The interface of an exit is not on this node, is down, or is a part of another one (a port of a bridge, a link of a bond, a member of a VRF).',
    example: 'Exit "partners" leaves by interface "eth1", which is down',
    solution: 'ip link set eth1 up; or name the bridge or bond itself in the exit.',
  },
  'exit-address': {
    cause: 'No address to leave with is on this node: those of the exit are elsewhere, or its interface has none.',
    example: 'Exit "partners" has no addresses, and its interface "eth1" has no global IPv4 address in use',
    solution: 'ip address add 192.168.0.245/24 dev eth1; for an address that moves, an exit with gateways.',
  },
  'mark-conflict': {
    cause:
      'A policy rule of somebody else looks at the bit of the packet mark that egress uses. Each would take the other’s packets.',
    example: 'The policy rule at priority 100 looks at mark 0x40000000/0x40000000, which holds our bit 0x40000000',
    solution:
      'ip rule show, and give that rule another bit; or on a drained node in the policy file: "fwmark": "0x20000000".',
  },
  'record-newer': {
    cause: 'A newer egress wrote the state in dataDir, and an older one reads it, as after a downgrade.',
    example: '/var/lib/cni/egress/node.json has version 3, this egress knows 2',
    solution: 'Install the newer binary again; or drain the node first, so that no record is left.',
  },
  'check-failed': {
    cause:
      'CHECK found that something of a pod is missing or different: somebody flushed a table, changed a parameter, took an address.',
    example: 'There is no record of pods/4f2a/eth0, but a policy is for it',
    solution:
      'egress repair; egress doctor tells what else keeps packets from leaving. egress agent does it by itself.',
  },
  'kernel-refused': {
    cause:
      'The kernel did not take an object. The details have the command that stands for it, and the kernel’s own words.',
    example: 'A transaction of 40 operations: ENOSPC',
    solution: 'dmesg | tail; where the details have a command, try it by hand.',
  },
  'partly-done': {
    cause:
      'DEL or GC took down what could be taken down, and something is left. The record stays, so that the next call goes on.',
    example:
      'This node serves "internet" to others, and an agent runs, which would serve it again: end the agent first, or say --drain',
    solution: 'Runtimes call DEL again. egress gc does it by hand.',
  },
  'tunnel-device': {
    cause: 'Somebody else has an interface with the name of the tunnel’s device.',
    example: 'Expected to find no interface egress0, or our own: VXLAN in the group 230; found another',
    solution: 'ip link set egress0 down; ip link set egress0 name other0',
  },
  'node-address': {
    cause:
      'An exit with gateways needs an address by which other nodes know this one. None was found, or it is not listed in nodes.',
    example: '172.18.0.5 is no address of this node',
    solution:
      'In the policy file of all nodes: "nodes": [ { "address": "172.18.0.5" } ]; or in the chain entry: "node": "172.18.0.5".',
  },
  'unknown-exit': {
    cause:
      'A command names an exit that is not in the policy file, that has no gateways, or a gateway that is not the exit’s.',
    example: 'No exit with gateways is called "intrenet", there are: internet',
    solution: 'egress exit move internet --to 172.18.0.4',
  },
  'annotation-invalid': {
    cause:
      'An annotation egress.cni/… of the pod is misspelt, or its value is not valid. The pod does not start, so that it does not leave by the wrong way.',
    example: 'Pod default/web: egress knows no annotation "egress.cni/polcy", did you mean "egress.cni/policy"?',
    solution: 'kubectl annotate does not help a pod that waits: mend the manifest, and create the pod anew.',
  },
  'annotation-unknown': {
    cause:
      'An annotation of the pod names a policy or an exit that does not exist, or that is not open to its namespace.',
    example: 'Pod default/web, annotation "egress.cni/policy": no policy is called "mails", did you mean "mail"?',
    solution: 'Name a policy with "optIn": true, or an exit whose "annotationNamespaces" fit the pod’s namespace.',
  },
  'annotation-refused': {
    cause: 'The policy or exit exists, and whoever wrote the policy file does not let this pod ask for it.',
    example:
      'Pod default/web, annotation "egress.cni/exit": exit "partners" is not open to pods of default by its "annotationNamespaces", expected one of "internet"',
    solution: 'In the policy file: "annotationNamespaces": ["default"] at the exit.',
  },
  'unknown-pod': {
    cause: 'No policy is for a pod of that name on this node; or it runs on another node.',
    example: 'Nothing is set up on this node for a pod with name "default/wbe"',
    solution: 'egress status lists the pods with policies. kubectl get pod -o wide tells the node.',
  },
  'ports-exhausted': {
    cause:
      'The exit gives pods source ports of their own, and all blocks of its addresses are given, or the namespace has as many as it may have.',
    example: 'Exit "internet" gives each pod 1024 source ports. 192.0.2.50 has 63 such blocks, and all are taken',
    solution: 'More "addresses" in the exit, or a smaller "portsPerPod".',
  },
  'exit-next-hop': {
    cause:
      'The next hop of an exit is in no network of its interface, so that the kernel does not know how to ask for it.',
    example: '10.9.9.1 is in no network of eth1',
    solution: '"nextHop": "192.168.0.1"; or "onlink": true, where the router answers all the same.',
  },
  'name-taken': {
    cause:
      'A chain or set in a table cni-egress is not of the shape that this version makes: somebody else made it, or a much earlier version.',
    example:
      'map pods4 of table inet cni-egress is a map of type ipv4_addr : mark, expected a map of type ipv4_addr : verdict with counters',
    solution:
      'Drain the node: with the last pod the table goes. Or nft delete table inet cni-egress, and egress repair.',
  },
  'invalid-argument': {
    cause: 'A word of the command line is not what the command takes.',
    example: '--metrics: expected ADDRESS:PORT, as 127.0.0.1:14597 or [::1]:14597, got "127.0.0.1"',
    solution: 'egress agent --metrics 127.0.0.1:14597; egress COMMAND --help shows each word.',
  },
  'cannot-mark': {
    cause:
      'The kernel took no filter at a pod’s interface: cls_bpf or bpf(2) is missing, or the right to use them. Pods are steered all the same.',
    example: 'What comes in by veth1a2b3c4d cannot be marked: ENOENT',
    solution: 'modprobe cls_bpf; then egress repair. Without it nobody may flush the ruleset (conf/limits.md).',
  },
  'kubernetes-refused': {
    cause: 'The installer may not do something in the Kubernetes API, or the API did not answer.',
    example: 'The Kubernetes API answered with something that is no node',
    solution:
      'kubectl apply -k install/kustomize, which has the rights; kubectl auth can-i patch nodes --as system:serviceaccount:cni-egress:cni-egress',
  },
  internal: {
    cause: 'Something happened that egress does not expect: a fault of ours.',
    example: 'The kernel answered without a generation of the nftables ruleset',
    solution: 'egress doctor --bundle bundle.json, and a bug report with it and with the whole message.',
  },
};

/** A page for each code, by its name and its number. */
export const errorTopics: readonly Topic[] = (Object.keys(errorTable) as ErrorCode[]).map((code) => {
  const { number, title, remedy } = errorTable[code];
  return { kind: 'error', names: [code, String(number)], title: `${title} (${number})`, remedy, ...words[code] };
});
