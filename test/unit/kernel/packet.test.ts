import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Flow } from '../../../src/datapath/host.ts';
import { announcement, gratuitousArp, unsolicitedAdvertisement } from '../../../src/kernel/packet/announcement.ts';
import { primer, primerFrames, primerPackets } from '../../../src/kernel/packet/primer.ts';

// What Python's struct and socket.inet_pton make of the RFCs; test/lab/packet.test.ts asks tcpdump and the kernel.
const bytes = (...pieces: readonly string[]) => pieces.join('').replaceAll(' ', '');
const hex = (frame: Buffer | undefined) => frame?.toString('hex');

const mac = '02:e6:ac:12:00:05';
const peer = '02:e6:ac:12:00:06';

const arp = {
  request: bytes(
    'ffffffffffff 02e6ac120005 0806',
    '0001 0800 06 04 0001',
    '02e6ac120005 c0000232 000000000000 c0000232',
  ),
  reply: bytes('ffffffffffff 02e6ac120005 0806', '0001 0800 06 04 0002', '02e6ac120005 c0000232 02e6ac120005 c0000232'),
};
const advertisement = bytes(
  '333300000001 02e6ac120005 86dd',
  '60000000 0020 3a ff 20010db8000000000000000000000050 ff020000000000000000000000000001',
  '88 00 4b90 20000000 20010db8000000000000000000000050 02 01 02e6ac120005',
);

describe('an announcement', () => {
  test('of an IPv4 address is gratuitous ARP, as a request and as a reply', () => {
    assert.deepEqual(gratuitousArp(mac, '192.0.2.50').map(hex), [arp.request, arp.reply]);
    assert.deepEqual(announcement(mac, '192.0.2.50').map(hex), [arp.request, arp.reply]);
  });

  test('of an IPv6 address is an advertisement to all nodes that overrides what they know', () => {
    assert.equal(hex(unsolicitedAdvertisement(mac, '2001:db8::50')), advertisement);
    assert.deepEqual(announcement(mac, '2001:db8::50').map(hex), [advertisement]);
  });
});

describe('a primer', () => {
  const tcp = { sourcePort: 40000, destinationPort: 443, hops: 2 };

  test('of IPv4 is an empty acknowledgement that is not to be fragmented', () => {
    assert.equal(
      hex(primer({ ...tcp, source: '10.244.1.7', destination: '198.51.100.10' })),
      bytes('45 00 0028 0000 4000 02 06 4298 0af40107 c633640a', '9c40 01bb 00000000 00000000 50 10 ffff dba0 0000'),
    );
  });

  test('of IPv6 is the same in an IPv6 packet', () => {
    assert.equal(
      hex(primer({ ...tcp, source: 'fd00:244:1::7', destination: '2001:db8:100::10' })),
      bytes(
        '60000000 0014 06 02 fd000244000100000000000000000007 20010db8010000000000000000000010',
        '9c40 01bb 00000000 00000000 50 10 ffff e3c3 0000',
      ),
    );
  });

  test('has the right checksum where a carry makes another one', () => {
    // The words of pseudo-header and segment add up to 0x3ffff: one carry makes 0x10002, the second 3.
    const addresses = { source: '255.255.255.255', destination: '0.0.0.0' };
    const packet = primer({ ...tcp, ...addresses, sourcePort: 0x5fd8, destinationPort: 0x5000 });
    assert.equal(packet.readUInt16BE(36), 0xfffc);
  });
});

describe('connections are introduced', () => {
  const flow = (changes: Partial<Flow> = {}): Flow => ({
    ...{ family: 4, protocol: 6, source: '10.244.1.7', sourcePort: 40000 },
    ...{ destination: '10.96.0.9', destinationPort: 80 },
    ...{ replySource: '198.51.100.10', replySourcePort: 443, replyDestination: '10.244.1.7' },
    ...changes,
  });
  const before = { source: '10.244.1.7', destination: '10.96.0.9', sourcePort: 40000, destinationPort: 80 };
  const behind = { ...before, destination: '198.51.100.10', destinationPort: 443 };

  test('in the node’s own stack with the destination that the pod sends to', () => {
    assert.deepEqual(primerPackets(1, [flow()]), [primer({ ...before, hops: 1 })]);
  });

  test('in the tunnel with the destination behind NAT, in a frame of its family', () => {
    const six = { family: 6, source: 'fd00::7', destination: '2001:db8::9', replySource: '2001:db8::9' } as const;
    const frames = primerFrames({ sourceMac: mac, destinationMac: peer }, 2, [flow(), flow(six)]);
    assert.deepEqual(
      frames.map((frame) => frame.subarray(0, 14).toString('hex')),
      ['02e6ac12000602e6ac1200050800', '02e6ac12000602e6ac12000586dd'],
    );
    assert.deepEqual(
      frames.map((frame) => frame.subarray(14)),
      [primer({ ...behind, hops: 2 }), primer({ ...behind, source: 'fd00::7', destination: '2001:db8::9', hops: 2 })],
    );
  });

  test('by nothing but TCP', () => {
    const { sourcePort: _, destinationPort: __, replySourcePort: ___, ...ping } = flow({ protocol: 1 });
    assert.deepEqual(primerPackets(1, [flow({ protocol: 17 }), ping]), []);
  });
});
