import { familyOf } from '../base/address.ts';
import { printScript } from '../nftables/script.ts';
import type { Change } from './difference.ts';
import type { Behind, InterfaceAddress, OutsideObject, PolicyRule, Route, TunnelLink } from './objects.ts';
import { planOf } from './operations.ts';
import { routeText, ruleText } from './routing-words.ts';
import { tunnelDevice } from './tunnel.ts';

/** Changes as the commands that would make them, in their order; empty when there is nothing to do. */
export function printChanges(changes: readonly Change[]): string {
  const { shut, first, before, transaction, sets, open, after, last } = planOf(changes);
  const script = printScript(transaction, sets);
  // The kernel changes little of a device that is there; what is on it comes back by the next look.
  const remade = changes.some(({ verb, object }) => verb === 'replace' && object.kind === 'tunnel');
  const nft = script === '' ? [] : [`nft -f - <<'EOT'\n${script}EOT`];
  const gone = remade ? [`ip link del ${tunnelDevice}`] : [];
  return [
    ...gone,
    ...shut.map(({ name }) => `ip link set ${name} down`),
    ...first.map((object) => command(object, 'del')),
    ...before.map((object) => command(object, 'add')),
    ...nft,
    ...open.map((object) => (object.kind === 'tunnel' ? setTunnelUp(object) : command(object, 'add'))),
    ...after.map((object) => command(object, 'del')),
    ...last.map((object) => command(object, 'add')),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function command(object: OutsideObject, verb: 'add' | 'del'): string {
  switch (object.kind) {
    case 'sysctl':
      return `sysctl -w ${object.name}=${object.value}`;
    case 'tunnel':
      return verb === 'add' ? addTunnel(object) : `ip link del ${object.name}`;
    case 'address':
      return `ip address ${verb} ${object.address}/${object.prefixLength} dev ${object.device} scope ${object.scope}${verb === 'add' ? noSource(object) : ''}`;
    case 'behind':
      return rank(object, verb);
    case 'neighbour':
      return `ip neigh ${replaceOr(verb)} ${object.address} lladdr ${object.mac} dev ${object.device} nud permanent`;
    case 'forwarding':
      return `bridge fdb ${replaceOr(verb)} ${object.mac} dev ${object.device} dst ${object.remote} self permanent`;
    default:
      return routing(object, verb);
  }
}

/** The address stays the node's at every moment. */
function rank({ address, device }: Behind, verb: 'add' | 'del'): string {
  const route = (metric: number) =>
    `local ${address} dev ${device} table local proto kernel scope host src ${address} metric ${metric}`;
  const [next, before] = verb === 'add' ? [230, 0] : [0, 230];
  return `ip route append ${route(next)} && ip route del ${route(before)}`;
}

const replaceOr = (verb: 'add' | 'del') => (verb === 'add' ? 'replace' : verb);

/** Without this an IPv6 address of an exit would be the source of the node's own connections. */
const noSource = ({ address, scope }: InterfaceAddress): string =>
  familyOf(address) === 6 && scope === 'global' ? ' nodad preferred_lft 0' : '';

const setTunnelUp = ({ name }: TunnelLink): string => `ip link set ${name} up`;

const addTunnel = (tunnel: TunnelLink): string => {
  const { name, vni, port, local, mac, mtu, groupPolicy, learning, up } = tunnel;
  return [
    `ip link add ${name} address ${mac} mtu ${mtu} group 230 type vxlan id ${vni} dstport ${port} local ${local}`,
    learning ? 'learning' : 'nolearning',
    ...(groupPolicy ? ['gbp'] : []),
    `&& ip link set ${name} addrgenmode none`,
    ...(up ? [`&& ${setTunnelUp(tunnel)}`] : []),
  ].join(' ');
};

function routing(object: PolicyRule | Route, verb: 'add' | 'del'): string {
  const text = object.kind === 'rule' ? ruleText(object) : routeText(object);
  const shown = object.kind === 'route' && verb === 'add' ? 'replace' : verb;
  return text.replace(/ (rule|route) /, ` $1 ${shown} `);
}
