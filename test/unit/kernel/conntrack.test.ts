import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deleteFlows } from '../../../src/kernel/conntrack/flows.ts';
import { KernelError, type Reply, type Request } from '../../../src/kernel/netlink/socket.ts';

// Bytes that `conntrack` and the kernel exchanged (strace -e trace=sendto,recvmsg -xx -s 4096 conntrack …), without the
// netlink header: struct nfgenmsg, then an attribute a piece.
const bytes = (...pieces: readonly string[]) => pieces.join('').replaceAll(' ', '');

/** conntrack -I -s 10.0.0.3 -d 10.0.0.2 -p udp --sport 1000 --dport 53 */
const flow4 = {
  original:
    '3400 0180 1400 0180 0800 0100 0a000003 0800 0200 0a000002 1c00 0280 0500 0100 11000000 0600 0200 03e80000 0600 0300 00350000',
  reply:
    '3400 0280 1400 0180 0800 0100 0a000002 0800 0200 0a000003 1c00 0280 0500 0100 11000000 0600 0200 00350000 0600 0300 03e80000',
  id: '0800 0c00 ddba87bb',
};
/** conntrack -I -s fd00::1 -d fd00::2 -p udp --sport 1000 --dport 53 */
const flow6 = {
  original:
    '4c00 0180 2c00 0180 1400 0300 fd000000000000000000000000000001 1400 0400 fd000000000000000000000000000002 1c00 0280 0500 0100 11000000 0600 0200 03e80000 0600 0300 00350000',
  reply:
    '4c00 0280 2c00 0180 1400 0300 fd000000000000000000000000000002 1400 0400 fd000000000000000000000000000001 1c00 0280 0500 0100 11000000 0600 0200 00350000 0600 0300 03e80000',
  id: '0800 0c00 1f76b470',
};
/** conntrack -L: status, mark, use, timeout and synproxy stand around the id, and are passed over. */
const listed = (header: string, flow: typeof flow4): Reply => ({
  type: 0x100,
  flags: 2,
  body: Buffer.from(
    bytes(
      header,
      flow.original,
      flow.reply,
      '0800 0300 00000008 0800 0800 00000000',
      flow.id,
      '0800 0b00 00000001 0800 0700 00000063',
      '1c00 1880 0800 0100 00000000 0800 0200 00000000 0800 0300 00000000',
    ),
    'hex',
  ),
});
const ipv4 = '02 00 0000';
const ipv6 = '0a 00 0000';
const table = [listed(ipv6, flow6), listed(ipv4, flow4)];

/** CTA_FILTER: the source address, of the original or of the reply direction. */
const filtered = {
  original: '1000 0180 0c00 0180 0800 0100 0a000003',
  reply: '1000 0280 0c00 0180 0800 0100 0a000003',
  originalFlags: '0c00 1980 0800 0100 01000000',
  replyFlags: '0c00 1980 0800 0200 01000000',
};

const EINVAL = 22;
const EOPNOTSUPP = 95;
const ENOENT = 2;

/** A kernel that lists `table`, and refuses what `refusal` gives an errno for. It keeps what it was asked. */
function kernel(refusal: (kind: 'list' | 'delete', body: string) => number | undefined = () => undefined) {
  const asked: string[] = [];
  const answer = async <T>(kind: 'list' | 'delete', { type, body }: Request, value: T): Promise<T> => {
    assert.equal(type, kind === 'list' ? 0x101 : 0x102);
    asked.push(`${kind} ${body.toString('hex')}`);
    const errno = refusal(kind, body.toString('hex'));
    if (errno !== undefined) throw new KernelError(errno, 0, '');
    return value;
  };
  return {
    asked,
    dump: (request: Request) => answer('list', request, table),
    request: (request: Request) => answer('delete', request, []),
    each: (requests: readonly Request[]) =>
      Promise.all(
        requests.map((request) =>
          answer('delete', request, undefined).catch((error) => {
            assert.ok(error instanceof KernelError);
            return error;
          }),
        ),
      ),
  };
}

const deletionByFilter = [
  `delete ${bytes(ipv4, filtered.original, filtered.originalFlags)}`,
  `delete ${bytes(ipv4, filtered.reply, filtered.replyFlags)}`,
];
const listingByFilter = [
  `list ${bytes(ipv4, filtered.original, filtered.originalFlags)}`,
  `list ${bytes(ipv4, filtered.reply, filtered.replyFlags)}`,
];
const deletion4 = `delete ${bytes(ipv4, flow4.original, flow4.id)}`;
const deletion6 = `delete ${bytes(ipv6, flow6.original, flow6.id)}`;
const hasFilter = (body: string) => body.includes('0c001980');

describe('the flows of an IPv4 address', () => {
  test('are deleted by the kernel itself, by their source in either direction', async () => {
    const socket = kernel();
    await deleteFlows(socket, '10.0.0.3');
    assert.deepEqual(socket.asked, deletionByFilter);
  });

  test('are listed and deleted one by one where the kernel filters listings only', async () => {
    const socket = kernel((kind, body) => (kind === 'delete' && hasFilter(body) ? EOPNOTSUPP : undefined));
    await deleteFlows(socket, '10.0.0.3');
    assert.deepEqual(socket.asked, [deletionByFilter[0], ...listingByFilter, deletion4, deletion4]);
  });

  test('are picked out of everything where the kernel knows no filter', async () => {
    const socket = kernel((_, body) => (hasFilter(body) ? EINVAL : undefined));
    await deleteFlows(socket, '10.0.0.3');
    assert.deepEqual(socket.asked, [deletionByFilter[0], listingByFilter[0], `list ${bytes(ipv4)}`, deletion4]);
  });

  test('may end by themselves meanwhile', async () => {
    const socket = kernel((kind, body) => {
      if (hasFilter(body)) return EINVAL;
      return kind === 'delete' ? ENOENT : undefined;
    });
    await deleteFlows(socket, '10.0.0.3');
    assert.equal(socket.asked.at(-1), deletion4);
  });
});

describe('the flows of an IPv6 address', () => {
  test('are picked out of everything, since the kernel’s filter is the wrong way round', async () => {
    const socket = kernel();
    await deleteFlows(socket, 'fd00::1');
    assert.deepEqual(socket.asked, [`list ${bytes(ipv6)}`, deletion6]);
  });

  test('are those that others began, too', async () => {
    const socket = kernel();
    await deleteFlows(socket, 'fd00::2');
    assert.deepEqual(socket.asked, [`list ${bytes(ipv6)}`, deletion6]);
  });

  test('are nobody else’s', async () => {
    const socket = kernel();
    await deleteFlows(socket, 'fd00::3');
    assert.deepEqual(socket.asked, [`list ${bytes(ipv6)}`]);
  });
});

test('what the kernel refuses for another reason is an error', async () => {
  const EPERM = 1;
  await assert.rejects(
    deleteFlows(
      kernel(() => EPERM),
      '10.0.0.3',
    ),
    { code: 'EPERM' },
  );
  await assert.rejects(
    deleteFlows(
      kernel(() => EPERM),
      'fd00::1',
    ),
    { code: 'EPERM' },
  );
});
