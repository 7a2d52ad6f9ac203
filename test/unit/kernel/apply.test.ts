import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutsideObject } from '../../../src/datapath/objects.ts';
import { applyOutside, removeOutside } from '../../../src/kernel/apply.ts';
import { KernelError, type NetlinkSocket, type Request } from '../../../src/kernel/netlink/socket.ts';

const RTM_GETLINK = 18;
const ENODEV = 19;

/** A kernel that knows these interfaces by their names, and agrees to all that it is told. */
function newSocket(...devices: readonly string[]) {
  const asked: number[] = [];
  const request = async ({ type, body }: Request) => {
    asked.push(type);
    if (type !== RTM_GETLINK) return [];
    const index = devices.findIndex((name) => body.includes(`${name}\0`)) + 1;
    if (index === 0) throw new KernelError(ENODEV, 0, '');
    const link = Buffer.alloc(16); // struct ifinfomsg
    link.writeUInt32LE(index, 4);
    return [{ type: RTM_GETLINK, flags: 0, body: link }];
  };
  return { socket: { request } as unknown as NetlinkSocket, asked };
}

const neighbours = (...devices: readonly string[]): OutsideObject[] =>
  devices.flatMap((device) =>
    [1, 2, 3, 4].map(
      (i): OutsideObject => ({ kind: 'neighbour', device, address: `192.0.2.${i}`, mac: '02:e6:00:00:00:01' }),
    ),
  );

for (const [doing, act] of [
  ['set up', applyOutside],
  ['taken down', removeOutside],
] as const) {
  test(`objects that are ${doing} ask once for each interface, not once for each object`, async () => {
    const { socket, asked } = newSocket('eth1', 'egress0');
    await act(socket, neighbours('eth1', 'egress0'));
    assert.equal(asked.filter((type) => type === RTM_GETLINK).length, 2);
    assert.equal(asked.filter((type) => type !== RTM_GETLINK).length, 8);
  });
}

test('what is to be taken down from an interface that is gone needs nothing', async () => {
  const { socket, asked } = newSocket();
  await removeOutside(socket, neighbours('eth1'));
  assert.deepEqual(new Set(asked), new Set([RTM_GETLINK]));
});
