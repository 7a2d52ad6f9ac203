import { parseAddress, withPort } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { podName } from '../report/asked-pod.ts';
import { readIfThere } from '../report/configured.ts';
import { isKnown, type Owner, type Seen, whoHas } from '../report/who.ts';
import { type CliCommand, toJson } from './command.ts';
import { type NodeOptions, onNode, type PolicyOptions, withPolicyIfThere } from './options.ts';

/** Reads `192.0.2.50:40000` or `[2001:db8::50]:40000`. Throws `invalid-argument` with what was expected. */
export function parseSeen(text: string): Seen {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(inBrackets ?? plain ?? '');
  const port = Number(digits);
  if (address !== undefined && port >= 1 && port <= 65535) return { address, port };
  throw new EgressError(
    'invalid-argument',
    `Expected an address and a port like 192.0.2.50:40000 or [2001:db8::50]:40000, got "${text}"`,
  );
}

/** The answer in sentences. */
export function printOwner({ address, port, pods, connections, node, sharing }: Owner): string {
  const seen = withPort(address, port);
  const lines = [
    ...pods.map(
      ({ addresses, ports: { exit, first, last }, ...pod }) =>
        `${seen} is ${podName(pod)} (${addresses.join(', ')}): it has the ports ${first} to ${last} of exit "${exit}".`,
    ),
    ...(node ? [`${seen} belongs to a pod on node ${node.address}, by exit "${node.exit}": ask there.`] : []),
    ...connections.map(
      ({ source, sourcePort, destination, destinationPort }) =>
        `A connection from ${source} port ${sourcePort} to ${destination} port ${destinationPort} leaves with it now.`,
    ),
  ];
  const nobody =
    sharing === undefined
      ? `Nobody on this node has ${seen}.`
      : `Nobody on this node has ${seen} now. Pods of exit "${sharing}" share all ports: without "portsPerPod" only open connections are known, on the node that they leave.`;
  return `${(lines.length > 0 ? lines : [nobody]).join('\n')}\n`;
}

export const whoCommand: CliCommand = {
  name: 'who',
  summary: 'tell which pod is behind an address and a port that are seen outside; exit code 1 when it is not known',
  options: (command) =>
    withPolicyIfThere(onNode(command).argument('<address:port>', 'as 192.0.2.50:40000, or [2001:db8::50]:40000')),
  run: async ({ openMachine, readFile, write, setExitCode }, text: string, options: NodeOptions & PolicyOptions) => {
    const seen = parseSeen(text);
    using machine = await openMachine(options);
    const owner = await whoHas(machine, readIfThere(options.policy, readFile), seen);
    write(options.json ? toJson(owner) : printOwner(owner));
    if (!isKnown(owner)) setExitCode(1);
  },
};
