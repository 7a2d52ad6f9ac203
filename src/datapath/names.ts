import { type Address, type Family, families } from '../base/address.ts';

/** The numbers that a node's configuration chooses, and that everything on the node must agree on. */
export interface NodeNumbers {
  /** The one bit of the mark that says: this packet is ours to steer. */
  readonly fwmark: number;
  /** The table of an exit is this plus its id. */
  readonly routeTable: number;
  /** The first of six consecutive priorities of policy rules. */
  readonly rulePriority: number;
}

/** The low bits of the mark hold the id of the exit; kube-proxy's 0x4000 and 0x8000 stay free. */
export const exitIdMask = 0x3fff;

/** The bits of a mark that are ours: the one that says so, and those of an exit's id. */
export const markMask = (fwmark: number): number => (fwmark | exitIdMask) >>> 0;

/** The mark with an id: that of a packet for an exit, or one of {@link replyId} and {@link unjudgedId}. */
export const idMark = (fwmark: number, id: number) => ({ value: (fwmark | id) >>> 0, mask: markMask(fwmark) }) as const;

/** Names of our chains; a prefix and an exit's id or a program's hash make the others. */
export const chainNames = {
  classify: 'classify',
  midStream: 'mid-stream',
  returns: 'returns',
  local: 'local',
  nat: 'nat',
  translate: 'translate',
  guard: 'guard',
  judge: 'judge',
  /** Packets with a mark that somebody may have changed. */
  lost: 'lost',
  stray: 'stray',
  unmarked: 'unmarked',
  decide: 'decide',
  drop: 'exit-drop',
  /** At forward: judges what is offered to a flowtable. */
  fast: 'fast',
  /** Of the interfaces of a gateway's exits: what a flowtable took out of the tunnel. */
  fastServed: 'fast-served',
  /** Of each connection's first packet, and of answers. */
  begin: 'begin',
  answers: 'answers',
  errors: 'errors',
  /** Packets with the source of a checked pod: with the proof, and without. */
  prove: 'prove',
  forged: 'forged',
  /** Of pods with connections that stay with the exit that they began with. */
  held: 'held',
  heldChecked: 'held-checked',
  /** Of the tunnel. */
  arrive: 'arrive',
  senders: 'senders',
  untrackedIn: 'untracked-in',
  untrackedOut: 'untracked-out',
  /** Of the tunnel, in versions that asked at these hooks. */
  input: 'input',
  forward: 'forward',
  /** Of a gateway. */
  first: 'first',
  replies: 'replies',
  owned: 'owned',
  late: 'late',
  unasked: 'unasked',
  exit: (id: number) => `exit-${id}`,
  /** Of an exit with several addresses. */
  exitSnat: (id: number) => `exit-${id}-snat`,
  /** Of answers of pods, and of the node itself, by an exit. */
  exitReturns: (id: number) => `exit-${id}-returns`,
  exitLocal: (id: number) => `exit-${id}-local`,
  /** Of answers by an exit on a node without a default route. */
  exitBack: (id: number) => `exit-${id}-back`,
  /** A chain's name holds no colons. */
  ports: (id: number, address: Address) => `${portsPrefix}${id}-${address.replaceAll(':', '_')}`,
  sent: (device: string) => `${sentPrefix}${device}`,
  /** At the node's end of a pod's interface. */
  from: (device: string) => `${sourcePrefix}${device}`,
  /** Packets of a pod with none of its addresses. */
  unowned: 'unowned',
} as const;

const portsPrefix = 'ports-';
const sentPrefix = 'sent-';
const sourcePrefix = 'from-';
const programPrefix = 'program-';
const entrySuffix = '-entry';
const exitPrefix = 'exit-';

/** Whether a chain at a hook may be one of ours, in the table of a family. Ours have fixed names, or an interface's. */
export const isBaseChain = (chain: string, family?: 'netdev'): boolean =>
  family === undefined
    ? Object.values(chainNames).some((name) => name === chain)
    : isSentChain(chain) || chain.startsWith(sourcePrefix);

/** Whether a chain has one of our names, in the table of whichever family. */
export const isOurChain = (chain: string): boolean =>
  Object.values(chainNames).some((name) => name === chain) ||
  [programPrefix, exitPrefix, portsPrefix, sentPrefix, sourcePrefix].some((prefix) => chain.startsWith(prefix));

/** Whether a chain holds the program of a pod. */
export const isProgramChain = (chain: string): boolean => chain.startsWith(programPrefix);

/** The chain by which packets of checked pods come to a program. */
export const entryOf = (program: string): string => `${program}${entrySuffix}`;

/** Whether a chain is one of {@link entryOf}. */
export const isEntryChain = (chain: string): boolean => isProgramChain(chain) && chain.endsWith(entrySuffix);

/** The program that a chain leads to, if it is one of {@link entryOf}; else the chain. */
export const programBehind = (chain: string): string =>
  isEntryChain(chain) ? chain.slice(0, -entrySuffix.length) : chain;

/** Whether a chain counts what leaves by an interface of exits. */
export const isSentChain = (chain: string): boolean => chain.startsWith(sentPrefix);

/** The interface of such a chain. */
export const deviceOfSentChain = (chain: string): string => chain.slice(sentPrefix.length);

/** Whether a chain is at the node's end of a pod's interface. */
export const isSourceChain = (chain: string): boolean => chain.startsWith(sourcePrefix);

/** The interface of such a chain. */
export const deviceOfSourceChain = (chain: string): string => chain.slice(sourcePrefix.length);

/** Whether a chain gives a pod source ports of its own. */
export const isPortsChain = (chain: string): boolean => chain.startsWith(portsPrefix);

/** The id of the exit that a chain stands for: the one that steers to it; `undefined` for other chains. */
export function exitIdOfChain(chain: string): number | undefined {
  const id = Number(chain.slice(exitPrefix.length));
  return chain.startsWith(exitPrefix) && Number.isInteger(id) ? id : undefined;
}

/** The id of the exit that a chain or set is a part of: not the one that steers; `undefined` for other chains and sets. */
export function exitIdOfPart(name: string): number | undefined {
  const id = /^exit-(\d+)-(?:snat|returns|local|back|slots[46]|flows[46])$/.exec(name)?.[1];
  return id === undefined ? undefined : Number(id);
}

/** Whether a chain is one of {@link chainNames.exitBack}. */
export const isBackChain = (chain: string): boolean => exitIdOfPart(chain) !== undefined && chain.endsWith('-back');

/** The owner of a chain or a set: all steering, a pod, the tunnel, a gateway, an exit, or the table at interfaces. */
type Owner = 'base' | 'pod' | 'tunnel' | 'gateway' | 'exit' | 'interfaces' | 'earlier versions';

type Fixed<Names> = { [K in keyof Names]: Names[K] extends string ? K : never }[keyof Names];

/**
 * The owner of each chain with a fixed name. Chains of one owner stand in the order in which they can go: a chain
 * before the chains that it refers to.
 */
const chainOwners: Readonly<Record<Fixed<typeof chainNames>, Owner>> = {
  ...{ classify: 'base', midStream: 'base', returns: 'base', local: 'base', nat: 'base', guard: 'base', judge: 'base' },
  ...{ lost: 'base', stray: 'base', unmarked: 'base', decide: 'base', drop: 'base', begin: 'base', answers: 'base' },
  ...{ errors: 'base', translate: 'base', heldChecked: 'base', held: 'base', prove: 'base', forged: 'base' },
  ...{ arrive: 'tunnel', senders: 'tunnel', untrackedIn: 'tunnel', untrackedOut: 'tunnel' },
  ...{ first: 'gateway', replies: 'gateway', owned: 'gateway', late: 'gateway', unasked: 'gateway' },
  ...{ input: 'earlier versions', forward: 'earlier versions' },
  fast: 'base',
  ...{ unowned: 'interfaces', fastServed: 'interfaces' },
};

/** Names of the chains that one owner needs. */
export const chainsOf = (owner: Owner): readonly string[] =>
  fixedChains.filter((name) => chainOwners[name] === owner).map((name) => chainNames[name]);

const fixedChains = Object.keys(chainOwners) as readonly Fixed<typeof chainNames>[];

/** The sets and maps of the node. Sets of programs carry the program's name. */
export const setNames = {
  own: 'own',
  pods: (family: Family) => `pods${family}`,
  programs: (family: Family) => `programs${family}`,
  steered: (family: Family) => `steered${family}`,
  checked: (family: Family) => `checked${family}`,
  ends: (family: Family) => `ends${family}`,
  uplinks: 'uplinks',
  held: 'held',
  inside: (family: Family) => `inside${family}`,
  snat: (family: Family) => `snat${family}`,
  blocks: (family: Family) => `blocks${family}`,
  lanes: (family: Family) => `lanes${family}`,
  spread: 'spread',
  /** Of an exit with several addresses. */
  slots: (id: number, family: Family) => `exit-${id}-slots${family}`,
  flows: (id: number, family: Family) => `exit-${id}-flows${family}`,
  /** Of programs from before they had ranges of their own. */
  cluster: (family: Family) => `cluster${family}`,
  returns: (family: Family) => `returns${family}`,
  locals: (family: Family) => `locals${family}`,
  sent: 'sent',
  /** Of exits with a fast path. */
  fast: (family: Family) => `fast${family}`,
  taken: (family: Family) => `taken${family}`,
  crossed: (family: Family) => `crossed${family}`,
  answered: (family: Family) => `answered${family}`,
  tunnels: 'tunnels',
  fallback: 'fallback',
  elsewhere: 'elsewhere',
  /** Of the tunnel. */
  served: 'served',
  senders: (family: Family) => `senders${family}`,
  /** Of a gateway. */
  egress: (family: Family) => `egress${family}`,
  remote: (family: Family) => `remote${family}`,
  owned: (family: Family) => `owned${family}`,
  moving: (family: Family) => `moving${family}`,
} as const;

/** The owner of each set and map. Sets of an exit or a program carry its name. */
const setOwners: Readonly<Record<keyof typeof setNames, Owner>> = {
  ...{ pods: 'pod', programs: 'pod', steered: 'pod', answered: 'pod', checked: 'pod', ends: 'pod' },
  ...{
    own: 'base',
    uplinks: 'base',
    tunnels: 'base',
    fallback: 'base',
    elsewhere: 'base',
    spread: 'base',
    held: 'base',
  },
  ...{ inside: 'base', snat: 'base', blocks: 'base', lanes: 'base', returns: 'base', locals: 'base' },
  ...{ slots: 'exit', flows: 'exit' },
  ...{ served: 'tunnel', senders: 'tunnel' },
  ...{ egress: 'gateway', remote: 'gateway', owned: 'gateway', moving: 'gateway' },
  ...{ sent: 'interfaces', fast: 'interfaces', taken: 'interfaces', crossed: 'interfaces' },
  cluster: 'earlier versions',
};

/** Names of the sets and maps that one owner always needs, even without exits and pods. */
export const setsOf = (owner: Exclude<Owner, 'exit'>): readonly string[] =>
  (Object.keys(setOwners) as (keyof typeof setNames)[])
    .filter((key) => setOwners[key] === owner)
    .flatMap((key) => {
      const name: string | ((family: Family) => string) = setNames[key as Exclude<typeof key, 'slots' | 'flows'>];
      return typeof name === 'string' ? [name] : families.map(name);
    });

/** Not the id of any exit either: of what pods send, while nothing has judged it. */
export const unjudgedId = 0x3fff;

/**
 * In a packet that a pod sent with a source of its own, until its program decides. It is the number of {@link replyId}: a
 * packet has this one on its way in, and that one behind it.
 */
export const proofId = 0;

/** Not the id of any exit: the answers that a gateway sends to pods through the tunnel. */
export const replyId = 0;

/**
 * The metric of exits' routes. The kernel would choose it for IPv6 anyway: so people see one number for both families.
 */
export const exitMetric = 1024;
/** The worst metric there is: chosen only when nothing else is left. */
export const lastMetric = 0xffffffff;

/** Priorities of our policy rules: jump over the exits, the exits, and where the jump lands. */
export const rulePriorities = (first: number) => ({ skip: first, exits: first + 1, end: first + 2 });

/**
 * Priorities behind them for packets from the tunnel: the jump of packets without an exit, the end of the others, and
 * the landing of the jump.
 */
export const tunnelPriorities = (first: number) => ({ noExit: first + 3, stray: first + 4, end: first + 5 });

/** Chains and sets of the tunnel, and of a gateway, in the order in which they can be removed. */
export const tunnelParts = {
  chains: [...chainsOf('earlier versions'), ...chainsOf('tunnel')],
  sets: setsOf('tunnel'),
} as const;
export const gatewayParts = { chains: chainsOf('gateway'), sets: setsOf('gateway') } as const;
