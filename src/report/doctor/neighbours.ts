import type { Address } from '../../base/address.ts';
import type { Examiner, KnownNeighbour } from '../../datapath/examiner.ts';
import type { ResolvedExit, Way } from '../../datapath/exit.ts';
import type { Mac } from '../../datapath/objects.ts';
import { isHere } from '../../node/check-node.ts';
import type { Facts } from './facts.ts';
import { fault, ok, orOk, type Seen } from './finding.ts';

/** One family of an exit that leaves from here. */
interface Local {
  readonly exit: ResolvedExit;
  readonly way: Way;
}

type Answers = ReadonlyMap<string, ReadonlyMap<Address, readonly Mac[]> | undefined>;

/** Asks the links of local exits for their next hops, and for others that have an exit’s address as well. */
export async function neighbours(facts: Facts): Promise<readonly Seen[]> {
  const { node, examiner } = facts;
  const local = (node?.exits ?? [])
    .filter(({ gateway }) => gateway === undefined)
    .flatMap((exit) => exit.ways.map((way) => ({ exit, way })));
  if (local.length === 0) return [ok('no exit leaves from this node')];
  const before = await knownOf(examiner, local);
  const answers = await ask(examiner, local);
  const found: Seen[] = [];
  for (const one of local) {
    // Another gateway may have the addresses, as it should.
    if (isHere(facts.machine)(one.exit)) found.push(...duplicates(one, answers));
    found.push(...nextHop(one, answers, before));
  }
  return orOk(
    eachOnce(found),
    `${local.flatMap(shown).join(', ')} answer as the kernel knows them; exits’ addresses are here alone`,
  );
}

const shown = ({ way: { via } }: Local): string[] => (via === undefined ? [] : [via]);

const eachOnce = (found: readonly Seen[]): Seen[] => [...new Map(found.map((seen) => [seen.text, seen])).values()];

type Known = ReadonlyMap<string, KnownNeighbour | undefined>;

const keyOf = (device: string, address: Address): string => `${device} ${address}`;

/** What the kernel knows before anybody is asked: it hears the answers, too, and may put an entry right by them. */
async function knownOf(examiner: Examiner, local: readonly Local[]): Promise<Known> {
  const known = new Map<string, KnownNeighbour | undefined>();
  for (const { exit, way } of local) {
    if (way.via !== undefined)
      known.set(keyOf(exit.device, way.via), await examiner.readNeighbour(exit.device, way.via));
  }
  return known;
}

/** All questions of one interface at once. */
async function ask(examiner: Examiner, local: readonly Local[]): Promise<Answers> {
  const asked = Map.groupBy(local, ({ exit }) => exit.device);
  const answers = new Map<string, ReadonlyMap<Address, readonly Mac[]> | undefined>();
  for (const [device, ones] of asked) {
    const addresses = ones.flatMap(({ exit, way }) => [
      ...(exit.addressesOn ? [] : way.addresses),
      ...(way.via ? [way.via] : []),
    ]);
    answers.set(device, await examiner.whoHas(device, [...new Set(addresses)]));
  }
  return answers;
}

/** Addresses that are on several interfaces on purpose are not asked for. */
function duplicates({ exit: { name, device, addressesOn }, way }: Local, answers: Answers): Seen[] {
  if (addressesOn !== undefined) return [];
  return way.addresses.flatMap((address) => {
    const [mac] = answers.get(device)?.get(address) ?? [];
    if (mac === undefined) return [];
    return [
      fault(
        `${address} of exit "${name}" is also on another host at ${device}, with the MAC address ${mac}: answers go there`,
        `take ${address} from the host with the MAC address ${mac} (there: ip address show to ${address}), or give the exit another address`,
      ),
    ];
  });
}

function nextHop({ exit, way }: Local, answers: Answers, before: Known): Seen[] {
  const { name, device } = exit;
  const { via } = way;
  const macs = via === undefined ? undefined : answers.get(device)?.get(via);
  if (via === undefined || macs === undefined) return [];
  const [mac, other] = macs;
  if (mac === undefined) {
    const what = `next hop ${via} of exit "${name}" does not answer at ${device}`;
    return [
      fault(
        what,
        `look for the router, its link and VLAN: ip neigh show ${via} dev ${device}; or give the exit another nextHop`,
      ),
    ];
  }
  if (other !== undefined) {
    const what = `next hop ${via} of exit "${name}" is at ${device} twice, with the MAC addresses ${macs.join(' and ')}`;
    return [fault(what, `take ${via} from the host that is not the router`)];
  }
  const known = before.get(keyOf(device, via));
  if (known?.mac === undefined || known.mac === mac) return [];
  const what = `the kernel had next hop ${via} of exit "${name}" at ${known.mac} (${known.state}), but it answers from ${mac}`;
  return [fault(what, `ip neigh del ${via} dev ${device}`)];
}
