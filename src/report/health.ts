import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host } from '../datapath/host.ts';
import type { Passage } from '../datapath/passage.ts';
import { whyNotHere } from '../node/held.ts';
import { findHindrances } from '../node/hindrance.ts';
import type { ElectedExit, ExitGateways } from '../store/record.ts';

/**
 * Whether an exit works on this node, as far as the node can tell: `works`; `fails`, for the packets of one address or family at
 * least; `standby`, when another gateway has its addresses and this one is ready; `unknown`, when it leaves from a gateway that
 * nobody asks, since no agent runs here.
 */
export type Health = 'works' | 'fails' | 'standby' | 'unknown';

/** {@link Health}, and of an exit that fails the reasons in few words, each the rest of a sentence about this node. */
export interface ExitHealth {
  readonly health: Health;
  readonly why?: readonly string[];
}

/** What is known of an exit before the kernel is asked. */
export interface Signs {
  /** Our table is there. */
  readonly isSetUp: boolean;
  /** Its missing and different objects, in sentences. */
  readonly problems: readonly string[];
  readonly elected?: ElectedExit | undefined;
  /** What the agent that runs here knows of the exit's gateway. */
  readonly asked?: ExitGateways | undefined;
  /** States of next hops in the kernel's words, by their addresses. */
  readonly neighbours: ReadonlyMap<string, string>;
  /** Where packets for it come in. */
  readonly inputs: readonly Pick<Passage, 'family' | 'input'>[];
}

/** By what `explain` and `check` go by, too. */
export async function healthOf(host: Host, exit: ResolvedExit, signs: Signs): Promise<ExitHealth> {
  const { elected, asked } = signs;
  const why = await reasons(host, exit, signs);
  if (why.length > 0) return { health: 'fails', why };
  if (elected?.holds === false) return { health: 'standby' };
  return { health: exit.gateway !== undefined && asked === undefined ? 'unknown' : 'works' };
}

async function reasons(host: Host, exit: ResolvedExit, signs: Signs): Promise<string[]> {
  const { isSetUp, problems, elected, asked, neighbours, inputs } = signs;
  const isReady = elected?.holds === false;
  return [
    ...(isSetUp ? few(problems) : ['table inet cni-egress is missing']),
    ...(await ofInterface(host, exit)),
    ...(isReady ? [] : await lost(host, exit)),
    ...silent(neighbours),
    ...(asked?.answers === false ? [`gateway ${asked.gateway} does not answer`] : []),
    ...(isReady ? [] : await hindering(host, exit, inputs)),
  ];
}

const few = ([first, ...more]: readonly string[]): string[] =>
  first === undefined ? [] : [more.length === 0 ? first : `${first}, and ${more.length} more`];

/** The tunnel’s device is one of ours, and among its objects. */
async function ofInterface(host: Host, { device, gateway }: ResolvedExit): Promise<string[]> {
  if (gateway !== undefined) return [];
  const link = await host.readLink(device);
  if (link === undefined) return [`there is no interface ${device}`];
  return link.up ? [] : [`interface ${device} is down`];
}

async function lost(host: Host, exit: ResolvedExit): Promise<string[]> {
  if (exit.gateway !== undefined) return [];
  const found: string[] = [];
  for (const address of exit.ways.flatMap(({ addresses }) => addresses)) {
    found.push(...[(await whyNotHere(host, exit, address)) ?? []].flat());
  }
  return found;
}

/** NUD_FAILED and NUD_INCOMPLETE: it was asked for, and has not answered. */
const silent = (neighbours: ReadonlyMap<string, string>): string[] =>
  [...neighbours].flatMap(([nextHop, state]) =>
    state === 'failed' || state === 'incomplete' ? [`next hop ${nextHop} does not answer (${state})`] : [],
  );

/** What is said of lost addresses is there already, in fewer words. */
async function hindering(host: Host, exit: ResolvedExit, inputs: Signs['inputs']): Promise<string[]> {
  const found = (await findHindrances(host, [exit], inputs)).filter(({ about }) => about !== 'address');
  return found.map(({ what }) => what.replace(`exit "${exit.name}" `, 'it '));
}
