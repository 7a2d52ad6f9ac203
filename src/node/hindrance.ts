import { type Address, type Family, familyOf } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host, Sender } from '../datapath/host.ts';
import {
  filterHindrance,
  forwardingHindrance,
  type Hindrance,
  hindranceText,
  type Passage,
} from '../datapath/passage.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import { whyNotHere } from './held.ts';
import { whyNoWay } from './resolve-exit.ts';
import { wayBackHindrance } from './way-back.ts';

/**
 * Obstacles that keep packets of pods from leaving by exits, though all of ours is there. Forwarding is off, a reverse
 * path filter drops packets or answers, the node lost an address, no route leads to the gateway, or the interface is a
 * part of another one. One sentence each, with the remedy.
 *
 * @param inputs the interfaces that the packets come in by
 */
export async function hindrances(host: Host, exits: readonly ResolvedExit[], inputs: Inputs): Promise<string[]> {
  return (await findHindrances(host, exits, inputs)).map(hindranceText);
}

/** Interfaces that packets come in by. */
type Inputs = readonly Pick<Passage, 'family' | 'input'>[];

/** The same, each in its parts. */
export async function findHindrances(host: Host, exits: readonly ResolvedExit[], inputs: Inputs): Promise<Hindrance[]> {
  const found: (Hindrance | undefined)[] = [];
  for (const exit of exits) {
    found.push(...(await lostAddresses(host, exit)), await lostGateway(host, exit), await whyNotByDevice(host, exit));
    found.push(await droppedAnswers(host, exit));
    for (const { family, input } of inputs) {
      if (exit.ways.some((way) => way.family === family)) found.push(...stops(host, exit, family, input));
    }
  }
  return [...new Map(found.flatMap((each) => (each ? [[hindranceText(each), each] as const] : []))).values()];
}

/** Answers that come out of the tunnel have a device of ours to come by, or another interface that is not known here. */
function stops(host: Host, { device, gateway }: ResolvedExit, family: Family, input: string) {
  const read = (name: string) => host.readSysctl(name);
  return [
    forwardingHindrance(family, input, read),
    filterHindrance({ family, input, output: device }, read),
    ...(gateway === undefined ? [forwardingHindrance(family, device, read)] : []),
  ];
}

async function droppedAnswers(host: Host, exit: ResolvedExit): Promise<Hindrance | undefined> {
  const why = await wayBackHindrance(host, exit);
  return why && { ...why, what: `answers by exit "${exit.name}" do not arrive: ${why.what}` };
}

/** Addresses of a pod, each with the interface of the node's route to it: its packets come in there. */
export async function sendersOf(host: Host, addresses: readonly Address[]): Promise<Sender[]> {
  const senders: Sender[] = [];
  for (const address of addresses) {
    const { device } = (await host.routeTo(address)) ?? {};
    if (device !== undefined) senders.push({ address, input: device });
  }
  return senders;
}

/** Where packets of a sender come in. */
export const inputOf = ({ address, input }: Sender): Pick<Passage, 'family' | 'input'> => ({
  family: familyOf(address),
  input,
});

/** The interface that packets of other nodes' pods come in by on their gateway. */
export const inputsOfGateway = (exits: readonly ResolvedExit[]): Pick<Passage, 'family' | 'input'>[] =>
  exits.flatMap(({ ways }) => ways.map(({ family }) => ({ family, input: tunnelDevice })));

/** The exit's interface is asked first: all addresses of the node are listed only where it lacks one. */
async function lostAddresses(host: Host, exit: ResolvedExit): Promise<Hindrance[]> {
  const { name, device, ways, gateway } = exit;
  if (gateway !== undefined) return [];
  const link = await host.readLink(device);
  const own = new Set((link ? await host.listAddresses(link) : []).map(({ address }) => address));
  const lost: Hindrance[] = [];
  for (const address of ways.flatMap(({ addresses }) => addresses)) {
    const why = own.has(address) ? undefined : await whyNotHere(host, exit, address);
    const what = `exit "${name}" drops what is to leave with ${address}: ${why}`;
    if (why !== undefined) lost.push({ about: 'address', what, remedy: remedyFor(exit, address) });
  }
  return lost;
}

/** Whose address it is: of an exit with gateways the agents give it to one of them, of others people do. */
const remedyFor = ({ device, shared }: ResolvedExit, address: Address): string =>
  shared
    ? `egress agent, or egress gateway, puts ${address} on ${device} where no other gateway has it`
    : `ip address add ${address} dev ${device}; or for one address of all nodes give the exit "gateways", which add it; or, if the exit has what ${device} has, start any pod of it here`;

/** An interface that became a part of another one, or a member of a VRF. */
async function whyNotByDevice(host: Host, { name, device, gateway }: ResolvedExit): Promise<Hindrance | undefined> {
  const link = gateway === undefined ? await host.readLink(device) : undefined;
  const why = link && whyNoWay(link);
  if (!why) return undefined;
  const remedy = 'take it out of there, or give the exit another interface';
  return { about: 'interface', what: `exit "${name}" leaves by ${device}, which ${why}`, remedy };
}

type ExitWithGateway = Pick<ResolvedExit, 'name' | 'gateway'>;

/** Why packets cannot get from here to the gateway of an exit; undefined when they can, or when it has none. */
export async function whyNoGateway(host: Host, exit: ExitWithGateway): Promise<string | undefined> {
  return (await lostGateway(host, exit))?.what;
}

async function lostGateway(host: Host, { name, gateway }: ExitWithGateway): Promise<Hindrance | undefined> {
  if (gateway === undefined || (await host.routeTo(gateway))?.type === 'unicast') return undefined;
  const what = `this node has no route to ${gateway}, the gateway of exit "${name}"`;
  return { about: 'gateway', what, remedy: 'give the node a route to it' };
}
