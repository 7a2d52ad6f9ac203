import type { Namespace } from './namespace.ts';
import type { Daemon } from './run.ts';
import { tool } from './tools.ts';

/** What one packet paid at our chains on a machine. */
export interface Evaluated {
  /** The chains at hooks that it came to, in their order. */
  readonly hooks: readonly string[];
  /** How many rules it was compared with there and behind, whether they matched or not. */
  readonly rules: number;
}

/** Says of which kind a packet is, by what nft prints of its headers; undefined: it is not counted. */
export type KindOf = (headers: string) => string | undefined;

/** One packet in one chain at a hook. */
interface Visit {
  readonly kind: string | undefined;
  readonly hook: string;
  rules: number;
  /** The chain that is asked, its next rule, and before it where it comes back to. */
  readonly stack: Place[];
}

interface Place {
  readonly chain: string;
  readonly next: number;
}

/** The handles of the rules of each chain, by family and name. */
type Rulebook = ReadonlyMap<string, readonly string[]>;

/**
 * Counts the rules of ours that packets are compared with while they pass a machine. The kernel tells of each rule that
 * matches (`meta nftrace`), and where a chain at a hook ends. All rules before these were asked, too. `devices` are
 * interfaces whose packets are to be followed from there on. The ruleset has to stay as it is meanwhile.
 */
export async function countRules(machine: Namespace, devices: readonly string[] = []): Promise<RuleCount> {
  await machine.must(['nft', '-f', '-'], { stdin: tracing(devices) });
  const rules = rulesOf(await machine.must(['nft', '-a', 'list', 'ruleset']));
  const monitor = await machine.start(['sh', '-c', 'echo ready; exec nft -a monitor trace'], 'ready');
  await knockUntilSeen(machine, monitor, 61_001);
  const stop = async (kindOf: KindOf) => {
    await knockUntilSeen(machine, monitor, 61_002);
    await monitor.stop();
    await machine.must(['nft', 'delete table inet counted; delete table netdev counted']);
    const end = monitor.lines.findIndex((line) => isKnock(line, 61_002)); // behind it a line may be cut off
    return byKind(visitsOf(monitor.lines.slice(0, end), rules, kindOf));
  };
  return { stop };
}

/** A count that has begun. */
export interface RuleCount {
  /** Ends it. What packets of each kind paid, all together if there were several. */
  stop(kindOf: KindOf): Promise<ReadonlyMap<string, Evaluated>>;
}

/** In front of conntrack and of everybody's chains. */
const tracing = (devices: readonly string[]): string => `
add table inet counted
add chain inet counted in { type filter hook prerouting priority -400; }
add chain inet counted out { type filter hook output priority -400; }
add rule inet counted in meta nftrace set 1
add rule inet counted out meta nftrace set 1
add table netdev counted
${devices.map((device) => `add chain netdev counted ${device} { type filter hook ingress device ${device} priority -400; }\nadd rule netdev counted ${device} meta nftrace set 1\n`).join('')}`;

const isKnock = (line: string, port: number): boolean => line.includes(` udp dport ${port} `);

/** The monitor does not say when it begins, and what it says comes later than the packets. */
async function knockUntilSeen(machine: Namespace, monitor: Daemon, port: number): Promise<void> {
  const script = `import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', ${port}))`;
  while (!monitor.lines.some((line) => isKnock(line, port))) {
    if (monitor.hasEnded) throw new Error(`The monitor has ended: ${monitor.lines.join('\n')}`);
    await machine.must([tool('python3'), '-c', script]);
  }
}

function rulesOf(listed: string): Rulebook {
  const rules = new Map<string, string[]>();
  let [family, chain, isChain] = ['', '', false];
  for (const line of listed.split('\n')) {
    const [, ofTable] = /^table (\S+) /.exec(line) ?? [];
    const [, kind, name] = /^\t(chain|set|map) (\S+) \{/.exec(line) ?? [];
    const [, handle] = /^\t\t.* # handle (\d+)$/.exec(line) ?? [];
    if (ofTable !== undefined) family = ofTable;
    else if (name !== undefined) {
      [chain, isChain] = [`${family} ${name}`, kind === 'chain'];
      if (isChain) rules.set(chain, []);
    } else if (isChain && handle !== undefined) rules.get(chain)?.push(handle);
  }
  return rules;
}

const traceLine = /^trace id (\S+) (\S+) cni-egress (\S+) (packet:|rule|return|policy)(.*)$/;

function visitsOf(lines: readonly string[], rules: Rulebook, kindOf: KindOf): readonly Visit[] {
  const visits: Visit[] = [];
  /** The last one of each packet. */
  const last = new Map<string, Visit>();
  for (const line of lines) {
    const [, id = '', family = '', chain = '', what, rest = ''] = traceLine.exec(line) ?? [];
    if (what === 'packet:') {
      // At the egress of an interface nft does not know what the packet is.
      const kind = / ip6? saddr /.test(rest) ? kindOf(rest) : last.get(id)?.kind;
      const visit = { kind, hook: chain, rules: 0, stack: [{ chain: `${family} ${chain}`, next: 0 }] };
      visits.push(visit);
      last.set(id, visit);
    }
    const visit = last.get(id);
    if (what === 'policy' && visit) endOthers(visit, rules);
    if ((what === 'rule' || what === 'return') && visit) follow(visit, rules, family, chain, rest);
  }
  return visits;
}

/** Ends chains that no rule of theirs ended, back to the one that is asked again; all, at the end. */
function endOthers(visit: Visit, rules: Rulebook, until?: string): void {
  for (let top = visit.stack.at(-1); top !== undefined && top.chain !== until; top = visit.stack.at(-1)) {
    visit.rules += (rules.get(top.chain)?.length ?? 0) - top.next;
    visit.stack.pop();
  }
}

/** A rule has matched. */
function follow(visit: Visit, rules: Rulebook, family: string, chain: string, rest: string): void {
  const name = `${family} ${chain}`;
  endOthers(visit, rules, name);
  const [, handle, code, target] = /# handle (\d+) \(verdict (\S+?)(?: (\S+))?\)$/.exec(rest) ?? [];
  const place = visit.stack.pop();
  const index = rules.get(name)?.indexOf(handle ?? '') ?? -1;
  if (place === undefined || index < place.next) throw new Error(`Not a rule that comes next: ${name}${rest}`);
  visit.rules += index + 1 - place.next;
  if (code === 'continue' || code === 'jump') visit.stack.push({ chain: name, next: index + 1 });
  if (code === 'jump' || code === 'goto') visit.stack.push({ chain: `${family} ${target}`, next: 0 });
  if (code === 'accept' || code === 'drop') visit.stack.length = 0;
}

function byKind(visits: readonly Visit[]): ReadonlyMap<string, Evaluated> {
  const kinds = new Map<string, Evaluated>();
  for (const { kind, hook, rules } of visits) {
    if (kind === undefined) continue;
    const before = kinds.get(kind) ?? { hooks: [], rules: 0 };
    kinds.set(kind, { hooks: [...before.hooks, hook], rules: before.rules + rules });
  }
  return kinds;
}
