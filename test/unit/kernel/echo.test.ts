import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { introduction } from '../../../src/kernel/packet/arp.ts';
import { echoRequest, readEchoReply } from '../../../src/kernel/packet/echo.ts';

const ends = { 4: ['172.18.0.5', '192.0.2.50'], 6: ['fd00:172::5', '2001:db8::50'] } as const;
const headerOf = { 4: 20, 6: 40 } as const;
const replyTypes = { 4: 0, 6: 129 } as const;

const anyEcho = fc.record({
  identifier: fc.nat(0xffff),
  sequence: fc.nat(0xffff),
  data: fc.array(fc.nat(255), { maxLength: 40 }).map((bytes) => Buffer.from(bytes.length % 2 ? [...bytes, 0] : bytes)),
});

/** The answer of a kernel: the same message with another type. Raw sockets of packets have its checksum judged before. */
function answerTo(family: 4 | 6, question: Buffer): Buffer {
  const answer = Buffer.from(question);
  answer.writeUInt8(replyTypes[family], headerOf[family]);
  return answer;
}

describe('a question to a gateway', () => {
  for (const family of [4, 6] as const) {
    test(`of IPv${family} comes back with all that was asked, and is no answer itself`, () => {
      fc.assert(
        fc.property(anyEcho, (echo) => {
          const question = echoRequest(ends[family][0], ends[family][1], echo);
          assert.equal(readEchoReply(family, question), undefined);
          const { data, ...numbers } = readEchoReply(family, answerTo(family, question)) ?? {};
          assert.deepEqual({ ...numbers, data: data?.toString('hex') }, { ...echo, data: echo.data.toString('hex') });
        }),
      );
    });

    test(`of IPv${family} is read from no bytes that are cut, whatever they are`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
          readEchoReply(family, Buffer.from(bytes));
        }),
      );
      const answer = answerTo(
        family,
        echoRequest(ends[family][0], ends[family][1], { identifier: 1, sequence: 2, data: Buffer.alloc(0) }),
      );
      for (let length = 0; length < answer.length; length++)
        assert.equal(readEchoReply(family, answer.subarray(0, length)), undefined, `${length} bytes`);
    });
  }

  test('has the bytes of ping -c 1 -s 4 -e 0x4552', () => {
    const echo = { identifier: 0x4552, sequence: 1, data: Buffer.from('00010203', 'hex') };
    assert.equal(
      echoRequest('172.18.0.5', '192.0.2.50', echo).toString('hex'),
      '450000200000400001010b94ac120005c00002320800b0a84552000100010203',
    );
  });
});

test('a node is introduced to one station, by a request and by a reply', () => {
  const own = { mac: '02:00:ac:12:00:05', address: '172.18.0.5' };
  const gateway = { mac: '02:00:ac:12:00:03', address: '172.18.0.3' };
  const frames = introduction(own, gateway).map((frame) => frame.toString('hex'));
  const ethernet = '0200ac120003' + '0200ac120005' + '0806' + '0001080006040';
  assert.deepEqual(frames, [
    `${ethernet}0010200ac120005ac120005000000000000ac120003`,
    `${ethernet}0020200ac120005ac1200050200ac120003ac120003`,
  ]);
});
