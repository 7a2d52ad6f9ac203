import type { ForeignTunnel } from '../../datapath/examiner.ts';
import { be16, cString, nested, raw, u8, u16, u32 } from '../netlink/field.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { decode } from '../netlink/wire.ts';
import { message } from '../rtnetlink/message.ts';
import { decodeTunnel } from '../rtnetlink/tunnel.ts';

const RTM_GETLINK = 18;

/** linux/if_link.h: struct ifinfomsg, IFLA_* and IFLA_VXLAN_*. */
const linkMessage = message(
  { family: u8, pad: u8, type: u16, index: u32, flags: u32, change: u32 },
  { name: [3, cString], info: [18, nested({ kind: [1, cString], data: [2, raw] })] },
);
const vxlan = { id: [1, u32], port: [15, be16] } as const;

/** The VXLAN devices that are not ours. */
// ip -d link show type vxlan
export async function listForeignTunnels(socket: NetlinkSocket): Promise<readonly ForeignTunnel[]> {
  // Kernels filter by kind from Linux 4.6 on; earlier ones list all, of which the others are passed over.
  const body = linkMessage.encode({}, { info: { kind: 'vxlan' } });
  const replies = await socket.dump({ type: RTM_GETLINK, flags: 0, body });
  return replies.flatMap((reply) => {
    const { name = '', info } = linkMessage.decode(reply.body).attributes;
    if (info?.kind !== 'vxlan' || decodeTunnel(reply.body) !== undefined) return [];
    const { id: vni = 0, port = 0 } = decode(vxlan, info.data ?? Buffer.alloc(0));
    return [{ name, vni, port }];
  });
}
