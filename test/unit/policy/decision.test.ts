import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fits, matchFor } from '../../../src/policy/decision.ts';
import type { Match } from '../../../src/policy/match.ts';
import type { Packet } from '../../../src/policy/terms.ts';

const match = (exit: string, destinations: string[], except: string[] = []): Match => ({
  policy: 'p',
  family: destinations[0]?.includes(':') ? 6 : 4,
  ...{ destinations, except, exit },
});

const exitFor = (program: readonly Match[], destination: string) => matchFor(program, { destination })?.exit;

describe('the match for a destination', () => {
  test('is the first that holds it', () => {
    const program = [match('narrow', ['203.0.113.0/25', '192.0.2.0/24']), match('wide', ['0.0.0.0/0'])];
    assert.equal(exitFor(program, '203.0.113.9'), 'narrow');
    assert.equal(exitFor(program, '192.0.2.255'), 'narrow');
    assert.equal(exitFor(program, '203.0.113.128'), 'wide');
    assert.equal(exitFor(program.toReversed(), '203.0.113.9'), 'wide');
  });

  test('is none that makes an exception of it', () => {
    const program = [match('narrow', ['203.0.113.0/24'], ['203.0.113.9/32']), match('wide', ['0.0.0.0/0'])];
    assert.equal(exitFor(program, '203.0.113.9'), 'wide');
    assert.equal(exitFor(program, '203.0.113.10'), 'narrow');
  });

  test('is of its family', () => {
    const program = [match('four', ['0.0.0.0/0']), match('six', ['::/0'])];
    assert.equal(exitFor(program, '2001:db8::1'), 'six');
    assert.equal(exitFor(program, '203.0.113.9'), 'four');
  });

  test('is not there when none fits', () => {
    assert.equal(matchFor([match('narrow', ['203.0.113.0/24'])], { destination: '192.0.2.1' }), undefined);
    assert.equal(matchFor([match('four', ['0.0.0.0/0'])], { destination: '2001:db8::1' }), undefined);
    assert.equal(matchFor([], { destination: '192.0.2.1' }), undefined);
  });
});

describe('the match for a packet', () => {
  const to = '203.0.113.9';
  const withPorts = (exit: string, ...ports: string[]): Match => ({ ...match(exit, ['0.0.0.0/0']), ports });
  const sip = withPorts('sip', 'udp:5060-5061');
  const exitOf = (program: readonly Match[], packet: Omit<Packet, 'destination'>) =>
    matchFor(program, { destination: to, ...packet })?.exit;

  test('is one with its port, at both ends of the range and not beside, and of its protocol alone', () => {
    const ports = [5059, 5060, 5061, 5062];
    assert.deepEqual(
      ports.map((port) => exitOf([sip], { protocol: 'udp', port })),
      [undefined, 'sip', 'sip', undefined],
    );
    assert.equal(exitOf([sip], { protocol: 'tcp', port: 5060 }), undefined);
  });

  test('is one of several ranges', () => {
    const program = [withPorts('some', 'icmp', 'tcp:25', 'tcp:443', 'udp:53')];
    for (const port of [25, 443]) assert.equal(exitOf(program, { protocol: 'tcp', port }), 'some');
    assert.equal(exitOf(program, { protocol: 'tcp', port: 53 }), undefined);
    assert.equal(exitOf(program, { protocol: 'icmp' }), 'some');
  });

  test('is one of the whole protocol, whatever the port, and also without one', () => {
    const program = [withPorts('all', 'sctp', 'icmp')];
    assert.equal(exitOf(program, { protocol: 'sctp', port: 1 }), 'all');
    assert.equal(exitOf(program, { protocol: 'sctp' }), 'all');
    assert.equal(exitOf(program, { protocol: 'udp', port: 1 }), undefined);
    assert.equal(exitOf(program, { protocol: 'icmp', port: 8 }), 'all');
  });

  test('is none with ports when the port, or the protocol, is not known', () => {
    const program = [withPorts('every', 'tcp:1-65535', 'udp', 'sctp', 'icmp'), match('rest', ['0.0.0.0/0'])];
    assert.equal(exitOf(program, { protocol: 'tcp', port: 1 }), 'every');
    assert.equal(exitOf(program, { protocol: 'tcp' }), 'rest');
    assert.equal(exitOf(program, {}), 'rest');
    assert.equal(exitOf(program, { port: 1 }), 'rest');
  });

  test('is the first of those that fit, with ports or without', () => {
    const all = match('all', ['0.0.0.0/0']);
    assert.equal(exitOf([sip, all], { protocol: 'udp', port: 5060 }), 'sip');
    assert.equal(exitOf([sip, all], { protocol: 'udp', port: 53 }), 'all');
    assert.equal(exitOf([all, sip], { protocol: 'udp', port: 5060 }), 'all');
  });

  test('has its destination too', () => {
    const narrow = { ...match('narrow', ['203.0.113.0/25'], ['203.0.113.9/32']), ports: ['tcp:25'] };
    assert.ok(!fits(narrow, { destination: to, protocol: 'tcp', port: 25 }));
    assert.ok(fits(narrow, { destination: '203.0.113.10', protocol: 'tcp', port: 25 }));
    assert.ok(!fits(narrow, { destination: '203.0.113.200', protocol: 'tcp', port: 25 }));
  });
});
