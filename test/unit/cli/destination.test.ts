import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import { parseDestination } from '../../../src/cli/destination.ts';
import type { Packet } from '../../../src/policy/terms.ts';
import { printPacket } from '../../../src/report/packet-words.ts';

describe('a destination', () => {
  const rows: readonly (readonly [string, Packet, string])[] = [
    ['203.0.113.9', { destination: '203.0.113.9' }, '203.0.113.9'],
    ['203.0.113.9:25', { destination: '203.0.113.9', protocol: 'tcp', port: 25 }, 'tcp 203.0.113.9:25'],
    ['2001:DB8::9', { destination: '2001:db8::9' }, '2001:db8::9'],
    ['[2001:db8::9]', { destination: '2001:db8::9' }, '2001:db8::9'],
    ['[2001:db8::9]:443', { destination: '2001:db8::9', protocol: 'tcp', port: 443 }, 'tcp [2001:db8::9]:443'],
    ['udp/1.2.3.4:5060', { destination: '1.2.3.4', protocol: 'udp', port: 5060 }, 'udp 1.2.3.4:5060'],
    ['sctp/[::1]:65535', { destination: '::1', protocol: 'sctp', port: 65535 }, 'sctp [::1]:65535'],
    ['tcp/1.2.3.4', { destination: '1.2.3.4', protocol: 'tcp' }, 'tcp 1.2.3.4'],
    ['icmp/2001:db8::9', { destination: '2001:db8::9', protocol: 'icmp' }, 'icmp 2001:db8::9'],
  ];
  for (const [text, packet, printed] of rows) {
    test(`"${text}" is read, and printed as "${printed}"`, () => {
      assert.deepEqual(parseDestination(text), packet);
      assert.equal(printPacket(packet), printed);
    });
  }

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['203.0.113.0/24', /^A range is no destination/],
    ['2001:db8::/32', /^A range is no destination/],
    ['tcp/203.0.113.0/24', /^A range is no destination/],
    ['gre/203.0.113.9', /^Policies know the protocols icmp, tcp, udp, sctp, not "gre"/],
    ['icmp/203.0.113.9:8', /^ICMP has no ports/],
    ['203.0.113.9:0', /^Expected a port from 1 to 65535, got "0"/],
    ['203.0.113.9:65536', /^Expected a port/],
    ['203.0.113.9:', /^Expected a port/],
    ['udp/203.0.113.9:sip', /^Expected a port/],
    ['example.org', /^Expected address/],
    ['[203.0.113.9]:25', /^Expected address/],
    ['tcp/', /^Expected address/],
    ['', /^Expected address/],
  ];
  for (const [text, message] of mistakes) {
    test(`"${text}" is a wrong call`, () => {
      assert.throws(
        () => parseDestination(text),
        (error) => error instanceof InvalidArgumentError && message.test(error.message),
      );
    });
  }
});
