import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Flow } from '../../../src/datapath/host.ts';
import { restoreFlows } from '../../../src/kernel/conntrack/restore.ts';
import { KernelError, type Request } from '../../../src/kernel/netlink/socket.ts';

// What `conntrack -I` sent on Linux 6.18, without the netlink header (type 0x100, flags 0x605): struct nfgenmsg, then an
// attribute a piece. Its padding held what was in its memory; ours is zero.
const bytes = (...pieces: readonly string[]) => pieces.join('').replaceAll(' ', '');

/** -I -s 10.0.0.5 -d 203.0.113.9 -p tcp --sport 40000 --dport 443 --state ESTABLISHED -t 432000 -u ASSURED,SEEN_REPLY --src-nat 192.0.2.50:1030 */
const sent4 = {
  header: '0200 0000',
  original:
    '3400 0180 1400 0180 0800 0100 0a000005 0800 0200 cb007109 1c00 0280 0500 0100 06000000 0600 0200 9c400000 0600 0300 01bb0000',
  reply:
    '3400 0280 1400 0180 0800 0100 cb007109 0800 0200 0a000005 1c00 0280 0500 0100 06000000 0600 0200 01bb0000 0600 0300 9c400000',
  source: '0800 0100 c0000232',
};
/** -I -s fd00::5 -d 2001:db8:100::10 … --src-nat [2001:db8::50]:1030 */
const sent6 = {
  header: '0a00 0000',
  original:
    '4c00 0180 2c00 0180 1400 0300 fd000000000000000000000000000005 1400 0400 20010db8010000000000000000000010 1c00 0280 0500 0100 06000000 0600 0200 9c400000 0600 0300 01bb0000',
  reply:
    '4c00 0280 2c00 0180 1400 0300 20010db8010000000000000000000010 1400 0400 fd000000000000000000000000000005 1c00 0280 0500 0100 06000000 0600 0200 01bb0000 0600 0300 9c400000',
  source: '1400 0400 20010db8000000000000000000000050',
};
const status = '0800 0300 0000000e';
const timeout = '0800 0700 00069780';
const port = '1400 0380 0600 0100 04060000 0600 0200 04060000';
/** We do not say that selective acknowledgements are permitted (0x02), which conntrack says of every connection. */
const established = '2000 0480 1c00 0180 0500 0100 03000000 0600 0400 0a0a0000 0600 0500 0a0a0000'.replaceAll(
  '0a0a',
  '0808',
);
const to443 = '1400 0380 0600 0100 01bb0000 0600 0200 01bb0000';
/** What we say beside: the ends of the ranges, and the destination as it was after DNAT. */
const more4 = { last: '0800 0200 c0000232', destination: `2800 0d80 0800 0100 cb007109 0800 0200 cb007109 ${to443}` };
const more6 = {
  last: '1400 0500 20010db8000000000000000000000050',
  destination: `4000 0d80 ${to443} 1400 0400 20010db8010000000000000000000010 1400 0500 20010db8010000000000000000000010`,
};

/** The pieces of a message, in any order. */
function pieces(body: string): readonly string[] {
  const rest: string[] = [body.slice(0, 8)];
  for (let at = 8; at < body.length; ) {
    const length = 2 * Buffer.from(body.slice(at, at + 4), 'hex').readUInt16LE();
    rest.push(body.slice(at, at + length));
    at += Math.ceil(length / 8) * 8;
  }
  return rest.sort();
}

const ends4 = { source: '10.0.0.5', destination: '203.0.113.9', replySource: '203.0.113.9' };
const ends6 = { source: 'fd00::5', destination: '2001:db8:100::10', replySource: '2001:db8:100::10' };
const flow = (changes: Partial<Flow>): Flow => ({
  ...{ family: 4, protocol: 6, ...ends4, replyDestination: '10.0.0.5' },
  ...{ sourcePort: 40000, destinationPort: 443, replySourcePort: 443, replyDestinationPort: 1030 },
  ...changes,
});

/** What is sent, when the kernel finds the connection there already so many times. */
async function sentFor(asked: Flow, source: string, there = 0): Promise<readonly Request[]> {
  const requests: Request[] = [];
  let left = there;
  const each = async (sent: readonly Request[]) => {
    requests.push(...sent);
    return sent.map(({ type }) => (type === 0x100 && left-- > 0 ? new KernelError(17, 0, '') : undefined));
  };
  await restoreFlows({ each }, [asked], source);
  return requests;
}

describe('a restored connection', () => {
  for (const [family, asked, source, { header, original, reply, source: nat }, { last, destination }] of [
    [4, flow({}), '192.0.2.50', sent4, more4],
    [6, flow({ family: 6, ...ends6, replyDestination: 'fd00::5' }), '2001:db8::50', sent6, more6],
  ] as const) {
    test(`of IPv${family} is what conntrack sends`, async () => {
      const [, request, ...others] = await sentFor(asked, source);
      assert.deepEqual([request?.type, request?.flags, others.length], [0x100, 0x600, 0]);
      // By their numbers: the ports (3) stand behind addresses of IPv4 (1, 2), and before those of IPv6 (4, 5).
      const sourceNat = family === 4 ? `2800 0680 ${nat} ${last} ${port}` : `4000 0680 ${port} ${nat} ${last}`;
      assert.deepEqual(
        pieces(request?.body.toString('hex') ?? ''),
        pieces(bytes(header, original, reply, status, timeout, established, sourceNat, destination)),
      );
    });
  }

  test('takes the place of what is known of it, and of what a packet made of it meanwhile, as often as that happens', async () => {
    const requests = await sentFor(flow({}), '192.0.2.50', 2);
    assert.deepEqual(
      requests.map(({ type }) => type),
      [0x102, 0x100, 0x102, 0x100, 0x102, 0x100],
    );
    assert.equal(requests[0]?.body.toString('hex'), bytes(sent4.header, sent4.original));
  });

  test('is not tried for ever', async () => {
    assert.equal((await sentFor(flow({}), '192.0.2.50', 1000)).length, 40);
  });

  test('is replaced by the next message, together with all others in one call', async () => {
    const sent: number[][] = [];
    const each = async (requests: readonly Request[]) => {
      sent.push(requests.map(({ type }) => type));
      return requests.map(() => undefined);
    };
    await restoreFlows(
      { each },
      Array.from({ length: 50 }, (_, i) => flow({ sourcePort: 40000 + i })),
      '192.0.2.50',
    );
    assert.deepEqual(sent, [Array.from({ length: 50 }, () => [0x102, 0x100]).flat()]);
  });
});
