import fc from 'fast-check';
import { brokenTimes, Dice, jsonText, withBrokenText } from './breaking.ts';
import { anyArgs, anyVariable, junk, Raw, words } from './malformed-words.ts';

/** What a call of the plugin finds: all of it comes from somebody who may have got it wrong. */
export interface Input {
  readonly kind: Kind;
  /** Whether there is something in it that nobody may make sense of. */
  readonly hopeless: boolean;
  readonly variables: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** Absent: there is no such file. */
  readonly policyFile?: string;
}

/** What of an input is broken. */
export const kinds = [
  'network configuration',
  'policy file',
  'annotations',
  'ranges, ports and names',
  'CNI_ARGS',
  'environment',
  'runtimeConfig',
  'prevResult',
  'text',
] as const;

export type Kind = (typeof kinds)[number];

/** As many inputs as wanted, of all {@link kinds} in turn; the same for the same seed. */
export function* malformedInputs(seed: number, count: number): Generator<Input> {
  const streams = fc.sample(fc.infiniteStream(fc.nat(), { noHistory: true }), { seed, numRuns: count });
  for (const [i, stream] of streams.entries()) yield inputOf(kinds[i % kinds.length] ?? 'text', new Dice(stream));
}

/** An input with nothing wrong in it, by which the pod gets a program. */
export const rightInput = (changes: Readonly<Record<string, unknown>> = {}): Input => ({
  ...{ kind: 'text', hopeless: false, variables: rightVariables },
  stdin: jsonText({
    ...{ cniVersion: '1.0.0', name: 'pods', type: 'egress', exits: localExits },
    policies: [{ name: 'a', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'partners' }],
    prevResult: rightResult,
    ...changes,
  }),
});

/** Calls of GC for a network whose one attachment is valid, the list of which is broken. */
export function* malformedLists(seed: number, count: number): Generator<Input> {
  const list = { 'cni.dev/valid-attachments': [{ containerID: '5f1c', ifname: 'eth0' }] };
  for (const stream of fc.sample(fc.infiniteStream(fc.nat(), { noHistory: true }), { seed, numRuns: count })) {
    const dice = new Dice(stream);
    const parts = { ...rightParts(dice, 'network configuration'), policy: undefined };
    const variables = { CNI_COMMAND: 'GC' };
    const entry = { cniVersion: '1.1.0', name: 'pods', type: 'egress', ...(brokenTimes(list, dice) as object) };
    yield inputFrom('network configuration', { ...parts, entry, variables }, dice);
  }
}

/** The parts of an input that is right. Each may be broken for itself. */
interface Parts {
  entry: unknown;
  policy: unknown;
  annotations: unknown;
  runtimeConfig: unknown;
  prevResult: unknown;
  variables: Record<string, string>;
}

function inputOf(kind: Kind, dice: Dice): Input {
  const parts = rightParts(dice, kind);
  if (kind === 'text') return brokenText(parts, dice);
  breakPart[kind](parts, dice);
  return inputFrom(kind, parts, dice);
}

function inputFrom(kind: Kind, parts: Parts, dice: Dice): Input {
  const { entry, policy, prevResult, variables } = parts;
  const runtimeConfig = parts.runtimeConfig ?? { 'io.kubernetes.cri.pod-annotations': parts.annotations };
  const isObject = entry !== null && typeof entry === 'object' && !Array.isArray(entry) && !(entry instanceof Raw);
  const stdin = jsonText(isObject ? { ...entry, runtimeConfig, prevResult } : entry);
  const policyFile = policy === undefined ? undefined : jsonText(policy);
  const hopeless = dice.hopeless.some((text) => stdin.includes(text) || policyFile?.includes(text));
  return { kind, hopeless, variables, stdin, ...(policyFile !== undefined && { policyFile }) };
}

const breakPart: Record<Exclude<Kind, 'text'>, (parts: Parts, dice: Dice) => unknown> = {
  'network configuration': (parts, dice) => {
    parts.entry = brokenTimes(parts.entry, dice);
  },
  'policy file': (parts, dice) => {
    parts.policy = brokenTimes(parts.policy ?? somePolicies(dice), dice);
  },
  annotations: (parts, dice) => {
    parts.annotations = brokenTimes({ ...someAnnotations(dice), ...(parts.annotations as object) }, dice);
  },
  'ranges, ports and names': (parts, dice) => {
    if (dice.once(3)) parts.annotations = withBrokenText({ ...someAnnotations(dice) }, dice);
    else parts.policy = withBrokenText(parts.policy ?? somePolicies(dice), dice);
  },
  CNI_ARGS: (parts, dice) => {
    parts.variables = { ...parts.variables, CNI_ARGS: anyArgs(dice) };
  },
  environment: (parts, dice) => {
    const name = dice.pick(['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_NETNS', 'CNI_COMMAND']);
    parts.variables = { ...parts.variables, [name]: anyVariable(dice) };
  },
  runtimeConfig: (parts, dice) => {
    const right = { 'io.kubernetes.cri.pod-annotations': parts.annotations, portMappings: [] };
    parts.runtimeConfig = brokenTimes(right, dice) ?? null;
  },
  prevResult: (parts, dice) => {
    parts.prevResult = brokenTimes(parts.prevResult, dice);
  },
};

/** Documents that are cut, doubled or followed by something. */
function brokenText(parts: Parts, dice: Dice): Input {
  const input = inputFrom('text', parts, dice);
  const key = input.policyFile !== undefined && dice.once(2) ? 'policyFile' : 'stdin';
  const text = input[key] ?? '';
  const [at, odd] = [dice.below(text.length), dice.pick(words)];
  const broken = dice.pick([
    () => text.slice(0, at),
    () => text + odd,
    () => text + text,
    () => `\uFEFF${text}`,
    () => text.slice(0, at) + odd + text.slice(at),
    () => text.slice(0, at) + text.slice(at + 1 + dice.below(20)),
    () => `[${text}]`,
    () => jsonText(dice.pick(junk)),
    () => odd,
  ]);
  return { ...input, [key]: broken() };
}

function rightParts(dice: Dice, kind: Kind): Parts {
  const hasFile = dice.once(2) || kind === 'policy file';
  const policies = somePolicies(dice);
  return {
    entry: {
      cniVersion: dice.pick(['0.4.0', '1.0.0', '1.1.0']),
      name: 'pods',
      type: 'egress',
      ...(!hasFile && policies),
    },
    policy: hasFile ? policies : undefined,
    annotations: kind !== 'policy file' && dice.once(3) ? someAnnotations(dice) : {},
    runtimeConfig: undefined,
    prevResult: rightResult,
    variables: rightVariables,
  };
}

const rightResult = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'cni0' },
    { name: 'veth1', mac: '02:00:00:00:00:02' },
    { name: 'eth0', sandbox: '/run/netns/a' },
  ],
  ips: [
    { interface: 2, address: '10.0.0.5/24', gateway: '10.0.0.1' },
    { interface: 2, address: 'fd00:10::5/64' },
  ],
  routes: [{ dst: '0.0.0.0/0' }],
};
const rightVariables = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: '5f1c',
  CNI_NETNS: '/run/netns/a',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0',
};

const localExits = [
  { name: 'partners', id: 7, interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] },
  { name: 'backup', interface: 'eth2', addresses: ['172.19.0.5', 'fd00:19::5'], annotationNamespaces: ['def*'] },
];
const sharedExits = [
  { name: 'partners', gateways: ['172.18.0.6', '172.18.0.7'], addresses: ['192.0.2.50', '2001:db8::50'] },
  { name: 'backup', interface: 'eth2', addresses: ['172.19.0.5'], portsPerPod: 64, annotationNamespaces: ['*'] },
];
const nodes = [
  { address: '172.18.0.5', podCIDRs: ['10.0.0.0/24'] },
  { address: '172.18.0.6', podCIDRs: ['10.0.1.0/24'] },
];

function somePolicies(dice: Dice): Record<string, unknown> {
  const shared = dice.once(3);
  return {
    ...(dice.once(2) && { clusterCIDRs: ['10.96.0.0/12', 'fd00:96::/108'] }),
    ...(shared && { nodes, tunnel: { vni: 5, allowedSources: ['172.18.0.0/16'] } }),
    ...(dice.once(4) && { fwmark: dice.pick(['0x00200000', 0x400000]), routeTable: 600000, rulePriority: 900 }),
    exits: shared ? sharedExits : localExits,
    policies: ['a', 'B', 'c'].slice(0, 1 + dice.below(3)).map((name) => somePolicy(name, dice)),
  };
}

const somePolicy = (name: string, dice: Dice) => ({
  name,
  namespaces: dice.pick([['default'], ['*'], ['def*', 'team-?'], ['other']]),
  ...(dice.once(3) && { pods: dice.pick([['web-*'], ['web-0'], ['*'], ['db']]) }),
  ...(!dice.once(4) && { destinations: someRanges(dice) }),
  ...(dice.once(2) && { except: someRanges(dice).slice(dice.below(2)) }),
  ...(dice.once(2) && {
    ports: dice.pick([['tcp:443'], ['udp:5060-5062', 'tcp'], ['icmp'], ['tcp:1-65535', 'sctp:7']]),
  }),
  exit: dice.pick(['partners', 'partners', 'backup', 'node', 'drop']),
  ...(dice.once(3) && { priority: dice.pick([-5, 0, 5, 1_000_000]) }),
  ...(dice.once(5) && { optIn: dice.once(2) }),
});

const rightRanges = [
  '203.0.113.0/24',
  '203.0.113.128/25',
  '198.51.100.7',
  '0.0.0.0/0',
  '2001:db8:1::/48',
  '::/0',
  '10.1.2.3/8',
];
const someRanges = (dice: Dice): string[] => Array.from({ length: 1 + dice.below(3) }, () => dice.pick(rightRanges));

function someAnnotations(dice: Dice): Record<string, unknown> {
  const list = () => someRanges(dice).join(dice.pick([',', ', ']));
  return {
    'example.com/other': '1',
    ...(dice.once(4) && { 'egress.cni/policy': dice.pick(['a', 'B', 'a,B', 'c']) }),
    'egress.cni/exit': dice.pick(['backup', 'backup', 'drop', 'partners']),
    ...(dice.once(2) && { 'egress.cni/destinations': list() }),
    ...(dice.once(3) && { 'egress.cni/except': list() }),
    ...(dice.once(3) && { 'egress.cni/ports': dice.pick(['tcp:443', 'udp:53, tcp', 'icmp']) }),
  };
}
