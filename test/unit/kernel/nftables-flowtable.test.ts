import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetlinkSocket, Reply, Request } from '../../../src/kernel/netlink/socket.ts';
import { listFlowtables, newFlowtable } from '../../../src/kernel/nftables/flowtable.ts';

const NFPROTO_IPV6 = 10;
const NFPROTO_ARP = 3;

/** What the kernel lists is what was added, with counts behind it; of a table of the family that the first byte says. */
function listed(family: number, table: string, name: string, devices: readonly string[]): Reply {
  const { type, body } = newFlowtable({ table, name, devices });
  const use = Buffer.from('0800040000000001', 'hex'); // NFTA_FLOWTABLE_USE
  return { type, flags: 0, body: Buffer.concat([Buffer.of(family), body.subarray(1), use]) };
}

test('flowtables are listed of all families of packets, with all their interfaces', async () => {
  const asked: Request[] = [];
  const dump = async (request: Request) => {
    asked.push(request);
    return [
      listed(1, 'fw', 'ft', ['eth0', 'eth1']),
      listed(NFPROTO_IPV6, 'f2b', 'fast', []),
      listed(NFPROTO_ARP, 'a', 'b', ['eth1']),
    ];
  };
  assert.deepEqual(await listFlowtables({ dump } as unknown as NetlinkSocket), [
    { family: 'inet', table: 'fw', name: 'ft', devices: ['eth0', 'eth1'] },
    { family: 'ip6', table: 'f2b', name: 'fast', devices: [] },
  ]);
  assert.deepEqual(asked, [{ type: (10 << 8) | 23, flags: 0, body: Buffer.alloc(4) }]);
});
