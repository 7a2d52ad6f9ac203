import { egressEntry, type Json } from '../support/chain.ts';
import { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { missingForLab } from '../support/tools.ts';
import { world } from '../support/world.ts';

/**
 * Shows, on a node with two uplinks, what the world sees of three pods before egress is in the chain and after. Ends
 * with 0 only if that is what it should be.
 */

const names = ['net-tshoot-5ngbc', 'net-tshoot-gcj27', 'net-tshoot-pcgf8'];

/** What the services saw of a pod: the address that it came from, for each service. */
interface Sighting {
  readonly pod: Pod;
  readonly sources: readonly string[];
}

const say = (...lines: readonly string[]) => console.log(lines.join('\n'));

const columns = [18, 13, 16, 1, 14];
const row = (...cells: readonly string[]) =>
  `  ${cells.map((cell, i) => cell.padEnd(columns[i] ?? 0)).join(' ')}`.trimEnd();

/** Starts the three pods with the chain "bridge, egress", or without egress, and lets each ask the services. */
async function startAndAsk(node: LabNode, egress: Json | undefined): Promise<readonly Sighting[]> {
  await node.write({ egress });
  const sightings: Sighting[] = [];
  for (const name of names) {
    const pod = await node.pod('default', name);
    await node.add(pod);
    const sources = await pod.askEach();
    say(row(name, ...pod.addresses, '→', ...sources));
    sightings.push({ pod, sources });
  }
  return sightings;
}

const areAll = (sightings: readonly Sighting[], expected: readonly string[]) =>
  sightings.every(({ sources }) => sources.every((source, i) => source === expected[i]));

async function demo(): Promise<boolean> {
  await using lab = await Lab.create();
  const node = await lab.node();
  const [eth0, eth1] = [node.addresses('eth0'), node.addresses('eth1')];
  say('A node with two uplinks:');
  say(row('eth0, the default', ...eth0), row('eth1, another net', ...eth1), '');

  say(`Three pods ask ${world.service.join(' and ')} which address they come from.`, '');
  say('Before, with the chain "bridge", it is the address of the node:', '');
  const before = await startAndAsk(node, undefined);
  for (const { pod } of before) await node.end(pod);

  say('', `After, with the chain "bridge, egress", it is the address of the exit, by eth1:`, '');
  const after = await startAndAsk(node, egressEntry());
  say('', '$ egress status', (await node.egress('status')).stdout);

  for (const { pod } of after) await node.end(pod);
  return areAll(before, eth0) && areAll(after, world.exitAddress);
}

const missing = missingForLab();
if (missing !== undefined) throw new Error(`The demo cannot run here: ${missing}`);
const isRight = await demo();
say(isRight ? 'The addresses are as they should be.' : 'The addresses are NOT as they should be.');
process.exitCode = isRight ? 0 : 1;
