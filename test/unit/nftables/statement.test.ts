import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Expression, Hex, Verdict } from '../../../src/nftables/expression.ts';
import type { Statement } from '../../../src/nftables/object.ts';
import * as say from '../../../src/nftables/statement.ts';

/** A row for each statement, and for each form that it has. */
const statements: readonly Statement[] = [
  say.family(4),
  say.family(6),
  say.isReply,
  say.destinationTypeIn('own'),
  say.sourceIsLocal,
  say.sourceIsOfOutput,
  say.destinationIn(4, 'cluster4', { first: true }),
  say.destinationIn(6, 'cluster6', { first: true, not: true }),
  say.sourceVerdict(4, 'pods4'),
  say.sourceVerdict(6, 'pods6'),
  say.markWithout(0x100000),
  say.originVerdict(4, 'programs4'),
  say.originVerdict(6, 'programs6'),
  say.isBeforeRouting,
  say.setMark(0x103fff, 0x100007),
  say.setMark(0x80003fff, 0x80000007),
  say.markDeviceSourceIn(4, 0x3fff, 'lanes4'),
  say.markDeviceSourceIn(6, 0x3fff, 'lanes6'),
  say.markDeviceIn(0x3fff, 'sent'),
  say.markDeviceVerdict(0x3fff, 'spread'),
  say.snatByMarkAndDevice(4, 0x3fff, 'snat4'),
  say.snatByMarkAndDevice(6, 0x3fff, 'snat6'),
  say.snatToSource(4),
  say.snatToSource(6),
  say.markSourceVerdict(4, 0x3fff, 'blocks4'),
  say.markSourceVerdict(6, 0x3fff, 'blocks6'),
  say.isProtocol('icmp'),
  say.isProtocol('icmp', 6),
  say.snatToPorts(4, undefined, { first: 1024, last: 2047 }),
  say.snatToPorts(4, '1.2.3.4', { first: 1024, last: 2047 }),
  say.snatToPorts(6, 'fd00::4', { first: 1024, last: 2047 }),
  say.snatBySource(4, 63, 'exit-7-slots4'),
  say.snatBySource(6, 63, 'exit-7-slots6'),
  say.snatBySourcePort(4, 63, 'exit-7-flows4'),
  say.snatBySourcePort(6, 63, 'exit-7-flows6'),
  say.masquerade,
  say.notrack,
  say.arrivesBy('egress0'),
  say.arrivesNotBy('egress0'),
  say.leavesBy('abcdefghijklmno'),
  say.isNotProtocol(4),
  say.isNotProtocol(6),
  say.udpDestinationPort(4788),
  say.udpDestinationPort(53),
  say.isSyn,
  say.asksForNoConnection,
  say.isTracked,
  say.isUntracked,
  say.isProtocol('tcp'),
  say.isProtocol('udp'),
  say.isProtocol('sctp'),
  say.destinationPortIn('tcp', 'ports'),
  say.destinationPortIn('udp', 'ports'),
  say.destinationPortIn('sctp', 'ports'),
  say.icmpOfConnection('tcp', 4),
  say.icmpOfConnection('icmp', 4),
  say.icmpOfConnection('udp', 6),
  say.icmpOfConnection('icmp', 6),
  say.icmpOfConnectionTo('sctp', 4, 'ports'),
  say.icmpOfConnectionTo('tcp', 6, 'ports'),
  say.icmpOfItsOwn(4),
  say.icmpOfItsOwn(6),
  say.clampToRoute,
  say.markVerdict('served'),
  say.markIn(0x3fff, 'tunnels'),
  say.keepMark(0x3fff),
  say.sourceIn(4, 'sources4', { first: true }),
  say.sourceIn(6, 'sources6', { first: true, not: true }),
  say.replyDestinationIn(4, 'egress4'),
  say.replyDestinationIn(6, 'egress6'),
  say.destinationIs('172.18.0.5'),
  say.sourceIsBehindInput(true),
  say.sourceIsBehindInput(false),
  say.markIs(0x103fff, 0x100000),
  say.arrivesNotIn('uplinks'),
  say.isFirst,
  say.isSourceTranslated,
  say.destinationHasRoute,
  say.laterFragment(4),
  say.laterFragment(6),
  say.wholeOrFirst,
  say.frameFamily(4),
  say.frameFamily(6),
  ...say.tags.map((tag) => say.frameTagged(tag)),
  say.frameSourceIn('10.0.0.5'),
  say.frameSourceIn('fd00::5'),
  say.frameSourceIn('10.0.4.0/22'),
  say.frameSourceIn('10.0.0.0/16'),
  say.frameSourceIn('fe80::/10'),
  say.frameSourceIn('2001:db8:77::/48'),
  say.counter,
  say.verdict({ code: 'drop' }),
  say.verdict({ code: 'accept' }),
  say.verdict({ code: 'return' }),
  say.verdict({ code: 'goto', chain: 'exit-7' }),
  say.verdict({ code: 'jump', chain: 'exit-7' }),
  say.originNotIn(4, 'steered4'),
  say.originNotIn(6, 'steered6'),
  say.markIsNot(0x103fff, 0x100000),
  say.isRelated,
  say.sourceTwiceIn(4, 'ends4'),
  say.sourceTwiceIn(6, 'ends6'),
  say.ofAnothersConnection(4, 'ends4'),
  say.ofAnothersConnection(6, 'ends6'),
  say.labelIs([65, 67], [64, 65, 66, 67]),
  say.addLabel([66, 70, 127]),
];

/** Data as nft shows it: the numbers that a little-endian host reads there, 4 bytes each. */
const number = (data: Hex) =>
  (data.match(/.{1,8}/g) ?? [])
    .map((word) => Buffer.from(word.padEnd(8, '0'), 'hex').readUInt32LE())
    .map((word) => `0x${word.toString(16).padStart(8, '0')}`)
    .join(' ');

const verdictText = (verdict: Verdict) => ('chain' in verdict ? `${verdict.code} -> ${verdict.chain}` : verdict.code);

/** An instruction as `nft --debug=netlink` prints it. */
function instruction(expression: Expression): string {
  switch (expression.name) {
    case 'meta':
      return 'dreg' in expression
        ? `meta load ${expression.key} => reg ${expression.dreg}`
        : `meta set ${expression.key} with reg ${expression.sreg}`;
    case 'payload':
      if ('sreg' in expression)
        return `payload write reg ${expression.sreg} => ${expression.length}b @ ${expression.base} header + ${expression.offset} csum_type ${expression.checksum === 'inet' ? 1 : 0} csum_off ${expression.checksumOffset} csum_flags 0x${expression.checksumFlags}`;
      return `payload load ${expression.length}b @ ${expression.base} header + ${expression.offset} => reg ${expression.dreg}`;
    case 'exthdr':
      return 'header' in expression
        ? `exthdr load ipv6 ${expression.length}b @ ${expression.header} + ${expression.offset} => reg ${expression.dreg}`
        : `exthdr write tcpopt reg ${expression.sreg} => ${expression.length}b @ ${expression.option} + ${expression.offset}`;
    case 'ct': {
      if ('sreg' in expression) return `ct set ${expression.key} with reg ${expression.sreg}`;
      const direction = 'direction' in expression ? ` , dir ${expression.direction}` : '';
      return `ct load ${expression.key} => reg ${expression.dreg}${direction}`;
    }
    case 'rt':
      return `rt load ${expression.key} => reg ${expression.dreg}`;
    case 'byteorder': {
      const { op, sreg, dreg, length, size } = expression;
      return `byteorder reg ${dreg} = ${op}(reg ${sreg}, ${size}, ${length})`;
    }
    case 'fib':
      return `fib ${expression.field.replace(' exists', '')} ${expression.result}${expression.result === 'oif' ? ' present' : ''} => reg ${expression.dreg}`;
    case 'bitwise': {
      const { sreg, dreg, mask, xor } = expression;
      return `bitwise reg ${dreg} = ( reg ${sreg} & ${number(mask)} ) ^ ${number(xor)}`;
    }
    case 'cmp':
      return `cmp ${expression.op} reg ${expression.sreg} ${number(expression.data)}`;
    case 'lookup': {
      const { sreg, set, dreg, invert } = expression;
      return `lookup reg ${sreg} set ${set}${dreg === undefined ? '' : ` dreg ${dreg}`}${invert ? ' 0x1' : ''}`;
    }
    case 'immediate':
      return 'verdict' in expression
        ? `immediate reg 0 ${verdictText(expression.verdict)}`
        : `immediate reg ${expression.dreg} ${number(expression.data)}`;
    case 'nat': {
      const { type, family, addressRegister, portRegister, lastPortRegister } = expression;
      const ports =
        portRegister === undefined ? '' : ` proto_min reg ${portRegister} proto_max reg ${lastPortRegister} flags 0x2`;
      return `nat ${type} ${family === 4 ? 'ip' : 'ip6'} addr_min reg ${addressRegister}${ports}`;
    }
    case 'masq':
    case 'notrack':
    case 'counter':
      return expression.name;
  }
}

const block = ({ text, expressions }: Statement) =>
  [`# ${text}`, ...expressions.map((expression) => `  [ ${instruction(expression)} ]`)].join('\n');

describe('beside nft 1.0.6', () => {
  const golden = readFileSync(new URL('statements.txt', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n\n')
    .slice(1);

  for (const [i, statement] of statements.entries()) {
    test(`\`${statement.text}\` stands for the same instructions`, () => assert.equal(block(statement), golden[i]));
  }

  test('every rule that it was given is one of ours', () => assert.equal(golden.length, statements.length));
});

test('the name of an interface fills its register', () => {
  assert.equal(say.deviceHex('eth1'), '65746831000000000000000000000000');
});

test('a statement that is not the first of its family in a rule does not ask for the family again', () => {
  const [asked, not = []] = [true, false].map((first) => say.destinationIn(4, 'a', { first }).expressions);
  assert.deepEqual(asked, [...say.family(4).expressions, ...not]);
});

describe('setting bits of the mark', () => {
  const any32 = fc.nat(0xffffffff);

  test('changes those of the mask alone, whatever the mark', () => {
    fc.assert(
      fc.property(any32, any32, any32, (mark, mask, bits) => {
        const value = (bits & mask) >>> 0;
        const operation = say.setMark(mask, value).expressions.find(({ name }) => name === 'bitwise');
        assert.ok(operation?.name === 'bitwise');
        const [kept, flipped] = [operation.mask, operation.xor].map((hex) => Buffer.from(hex, 'hex').readUInt32LE());
        assert.equal(((mark & (kept ?? 0)) ^ (flipped ?? 0)) >>> 0, ((mark & ~mask) | value) >>> 0);
      }),
    );
  });

  test('has words that mean the same: all bits that may stay, then those that are set', () => {
    fc.assert(
      fc.property(any32, any32, any32, (mark, mask, bits) => {
        const value = (bits & mask) >>> 0;
        const [, and, or] = /& (\w+) \| (\w+)$/.exec(say.setMark(mask, value).text) ?? [];
        assert.equal(((mark & Number(and)) | Number(or)) >>> 0, ((mark & ~mask) | value) >>> 0);
      }),
    );
  });
});

test('a number lies in a register in the order of the host', () => {
  assert.equal(say.hostHex(0x12345678), '78563412');
  assert.equal(say.hostHex(0xffffffff), 'ffffffff');
  assert.throws(() => say.hostHex(-1), RangeError);
});
