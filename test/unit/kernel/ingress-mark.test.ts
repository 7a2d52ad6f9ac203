import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IngressMark } from '../../../src/datapath/objects.ts';
import { KernelError, type NetlinkSocket, type Request } from '../../../src/kernel/netlink/socket.ts';
import { deleteIngressMark, readIngressMark } from '../../../src/kernel/rtnetlink/ingress-mark.ts';

const mark: IngressMark = { kind: 'ingressMark', device: 'veth1', value: 0x40003fff, mask: 0x40003fff };

/** A kernel that answers questions for filters with an error alone. */
function refusing(errno: number) {
  const asked: number[] = [];
  const refuse = async ({ type }: Request) => {
    asked.push(type);
    throw new KernelError(errno, 0, '');
  };
  return { socket: { dump: refuse, request: refuse } as unknown as NetlinkSocket, asked };
}

describe('a kernel that knows no filters', () => {
  for (const [name, errno] of [
    ['EOPNOTSUPP', 95],
    ['ENODEV', 19],
    ['ENOENT', 2],
    ['EINVAL', 22],
  ] as const) {
    test(`and says so with ${name} has none of ours, and none to delete`, async () => {
      const { socket, asked } = refusing(errno);
      assert.equal(await readIngressMark(socket, 'veth1', 7), undefined);
      await deleteIngressMark(socket, mark, 7);
      assert.equal(asked.length, 2, 'one question each, and nothing else');
    });
  }

  test('is not one that may not be asked', async () => {
    await assert.rejects(readIngressMark(refusing(1).socket, 'veth1', 7), /^KernelError: EPERM/);
  });
});
