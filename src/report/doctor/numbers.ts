import * as layout from '../../datapath/layout.ts';
import { ruleText } from '../../datapath/routing-words.ts';
import { otherText } from '../../node/check-node.ts';
import type { Facts } from './facts.ts';
import { fault, few, ok, orOk, type Seen, warning } from './finding.ts';

/** Others with our names and numbers: tables, policy rules and routes, and the tunnel's VNI and port. */
export async function numbers(facts: Facts): Promise<readonly Seen[]> {
  const { host, node } = facts;
  const others = (await host.listOthers(node)).map((other) =>
    warning(otherText(other), 'find out whose it is; another number for ours is not to be had'),
  );
  return orOk(few([...others, ...(await priorities(facts)), ...(await tunnels(facts))]), words(facts));
}

const words = ({ rulePriority, routeTable, tunnel }: Facts): string =>
  `priorities ${rulePriority} to ${rulePriority + 5}, tables from ${routeTable}, VNI ${tunnel.vni} and UDP port ${tunnel.port} are ours alone`;

/** A rule of somebody else between ours is asked by packets that are not ours, or comes to be behind some of ours. */
async function priorities({ host, rulePriority }: Facts): Promise<readonly Seen[]> {
  const { skip } = layout.rulePriorities(rulePriority);
  const { end } = layout.tunnelPriorities(rulePriority);
  return (await host.listRules())
    .filter(({ priority, protocol }) => protocol !== undefined && priority >= skip && priority <= end)
    .map((rule) =>
      warning(
        `${ruleText(rule)} is at one of our priorities (${skip} to ${end})`,
        'give it another priority, or set rulePriority on a drained node',
      ),
    );
}

async function tunnels({ examiner, tunnel, usesTunnel }: Facts): Promise<readonly Seen[]> {
  return (await examiner.listForeignTunnels())
    .filter(({ vni, port }) => port === tunnel.port || vni === tunnel.vni)
    .flatMap(({ name, vni, port }): Seen[] => {
      const what = `${name}, which is not ours, is VXLAN ${vni} on UDP port ${port}`;
      if (port !== tunnel.port) return [ok(`${what}: another port than ours (${tunnel.port})`)];
      const remedy = 'set tunnel.port in the policy file of all nodes to a free port';
      return [
        usesTunnel
          ? fault(`${what}: the tunnel cannot have its port beside it`, remedy)
          : warning(what, `before an exit has gateways, ${remedy}`),
      ];
    });
}
