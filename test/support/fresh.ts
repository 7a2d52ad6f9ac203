import { rm } from 'node:fs/promises';
import { tableName } from '../../src/nftables/object.ts';
import type { LabNode } from './node.ts';
import { snapshot } from './snapshot.ts';

/** Kernel parameters that egress may set, and their values: what `sysctl -p` reads. */
export const parametersOf = ({ machine }: LabNode): Promise<string> =>
  machine
    .run(['sysctl', '-a', '-r', '^net\\.(ipv[46]\\.(conf\\.(all|eth[01])\\.|ip_forward)|netfilter\\.nf_conntrack_tcp)'])
    .then(({ stdout }) => stdout);

/** What a node's kernel holds, one line for each object; in which order they were made does not matter, and what was counted neither. */
export async function kernelOf(node: LabNode): Promise<readonly string[]> {
  const { nftables } = JSON.parse(await node.machine.must(['nft', '-j', 'list', 'ruleset'])) as Listing;
  const [tables, filters] = [nftables.filter(isOurs).map(plain), await filtersOf(node)];
  const outside = (await snapshot(node)).split('\n').filter((line) => line.trim() !== '');
  return [...numbered(tables), ...filters, ...outside].toSorted();
}

interface Listing {
  readonly nftables: readonly Readonly<Record<string, Readonly<Record<string, unknown>>>>[];
}

const isOurs = (object: Listing['nftables'][number]): boolean =>
  Object.entries(object).some(([kind, { table, name }]) => (kind === 'table' ? name : table) === tableName);

/** Without handles and counters, and with the elements of sets in order. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([key]) => !['handle', 'packets', 'bytes'].includes(key));
  return Object.fromEntries(
    members.map(([key, part]) => [key, key === 'elem' && Array.isArray(part) ? sorted(part.map(plain)) : plain(part)]),
  );
}

const sorted = (list: readonly unknown[]): readonly unknown[] =>
  list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** Rules with their place in their chain. */
function numbered(objects: readonly unknown[]): readonly string[] {
  const places = new Map<string, number>();
  return objects.map((object) => {
    const { rule } = object as { rule?: { family: string; chain: string } };
    if (rule === undefined) return JSON.stringify(object);
    const chain = `${rule.family} ${rule.chain}`;
    const place = (places.get(chain) ?? 0) + 1;
    places.set(chain, place);
    return `${place} ${JSON.stringify(object)}`;
  });
}

/** Filters of interfaces, without the numbers that the kernel gives programs. */
async function filtersOf({ machine }: LabNode): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const device of await filtered(machine)) {
    const text = await machine.must(['tc', 'filter', 'show', 'dev', device, 'ingress']);
    lines.push(`${device} ${text.replaceAll(/ id \d+/g, '')}`);
  }
  return lines;
}

const filtered = async (machine: LabNode['machine']): Promise<readonly string[]> =>
  [...(await machine.must(['tc', 'qdisc', 'show'])).matchAll(/qdisc clsact \S+ dev (\S+)/g)].map(
    ([, name = '']) => name,
  );

/**
 * Takes from a node all that egress has there, records too, and sets it up anew for the pods that run: what the kernel holds
 * then is what it would hold if egress had met these pods and policies for the first time. Nothing may be sent meanwhile.
 */
export async function setUpAnew(node: LabNode, parameters: string): Promise<void> {
  const { machine } = node;
  for (const device of await filtered(machine)) await machine.must(['tc', 'qdisc', 'del', 'dev', device, 'clsact']);
  for (const verb of ['add', 'delete'])
    await machine.must(['nft', `${verb} table inet ${tableName}; ${verb} table netdev ${tableName}`]);
  for (const family of ['-4', '-6']) {
    await machine.must(['ip', family, 'rule', 'flush', 'protocol', '230']);
    await machine.run(['ip', family, 'route', 'flush', 'table', 'all', 'protocol', '230']);
    await machine.run(['ip', family, 'address', 'flush', 'proto', '230']);
  }
  await machine.run(['ip', 'link', 'delete', 'egress0']);
  await machine.run(['sysctl', '-q', '-p', '-'], { stdin: parameters });
  await rm(node.state('egress'), { recursive: true, force: true });
  await machine.run(['conntrack', '-F']);
  const { code, stdout, stderr } = await node.egress('agent', '--once');
  if (code !== 0 || stderr !== '') throw new Error(`setting up anew: ${stderr}${stdout}`);
}

/** The most rounds that a node may take to be well. */
const mostRounds = 5;

/** Makes one round of an agent after the other until one finds all as it should be. */
export async function roundsUntilWell(node: LabNode): Promise<void> {
  for (let rounds = 0; rounds < mostRounds; rounds++) {
    const { code, stdout, stderr } = await node.egress('agent', '--once');
    if (code !== 0 || stderr !== '') throw new Error(`a round: ${stderr}${stdout}`);
    if (stdout === 'All is as it should be.\n') return;
  }
  throw new Error('each round found something to mend');
}
