import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  flags,
  KernelError,
  type NetlinkSocket,
  type Reply,
  type Request,
} from '../../../src/kernel/netlink/socket.ts';
import { encode } from '../../../src/kernel/netlink/wire.ts';
import { elementListAttributes, setAttributes } from '../../../src/kernel/nftables/attributes.ts';
import { decodeElement, encodeElement } from '../../../src/kernel/nftables/element.ts';
import { decodeIntervals, encodeIntervals } from '../../../src/kernel/nftables/interval.ts';
import { attributesOf } from '../../../src/kernel/nftables/message.ts';
import { encodeOperation } from '../../../src/kernel/nftables/operation.ts';
import { decodeSet, encodeSet } from '../../../src/kernel/nftables/set.ts';
import { canHook, encodeBatch } from '../../../src/kernel/nftables/transaction.ts';
import { decodeComment, encodeComment, encodeSetUserdata } from '../../../src/kernel/nftables/userdata.ts';
import { mergeIntervals } from '../../../src/nftables/interval.ts';
import type { NftSet } from '../../../src/nftables/object.ts';
import { printScript } from '../../../src/nftables/script.ts';
import { counting, elements, everything, removal, sets } from '../nftables/sample.ts';

const setNames = [...Object.keys(sets), counting.set.name];
const setId = (name: string) => setNames.indexOf(name) + 1;

describe('beside nft 1.0.6', () => {
  const lines = readFileSync(new URL('../nftables/golden.txt', import.meta.url), 'utf8').split('\n');
  const commands = lines.filter((line) => line.startsWith('# nft ')).map((line) => line.slice('# nft '.length));
  const messages = lines.filter((line) => /^[0-9a-f]/.test(line));
  const operations = [...everything, ...removal];

  test('we print the commands that it was given', () => {
    // What we call `add element` refuses an element that is there: nft calls that `create element`.
    assert.deepEqual(
      printScript(operations).trimEnd().replaceAll('add element', 'create element').split('\n'),
      commands,
    );
  });

  test('we send the bytes that it sends', () => {
    const hex = (number: number) => number.toString(16).padStart(4, '0');
    const ours = operations
      .flatMap((operation) => encodeOperation(operation, setId))
      .map(({ type, flags: more, body }) => `${hex(type)} ${hex(more | flags.request)} ${body.toString('hex')}`);
    assert.deepEqual(ours, messages);
  });

  // nft flush set inet cni-egress lanes4: the same two attributes, which nft writes in the other order
  test('we empty a set with its name and no elements', () => {
    const [message, ...more] = encodeOperation({ verb: 'flush', object: sets.lanes4 }, setId);
    assert.deepEqual(more, []);
    assert.equal(message?.type, 0x0a0e);
    assert.deepEqual(message && attributesOf(elementListAttributes, { ...message }), {
      table: 'cni-egress',
      set: 'lanes4',
    });
  });
});

describe('a batch', () => {
  const messages = everything.slice(0, 2).flatMap((operation) => encodeOperation(operation, setId));

  test('begins and ends with messages for nf_tables, and asks with its last for the answer', () => {
    const batch = encodeBatch(messages);
    assert.deepEqual(
      batch.map(({ type }) => type),
      [16, ...messages.map(({ type }) => type), 17],
    );
    assert.deepEqual(
      batch.map((message) => (message.flags & flags.ack) !== 0),
      [false, false, true, false],
    );
    assert.equal(batch[0]?.body.toString('hex'), '0000000a');
    assert.equal(batch.at(-1)?.body.toString('hex'), '0000000a');
  });

  test('names the generation that it rests on', () => {
    assert.equal(encodeBatch(messages, 0x1234)[0]?.body.toString('hex'), `0000000a${'0800' + '0100'}00001234`);
  });
});

describe('the question whether the kernel takes a hook', () => {
  /** A kernel that answers every batch with this, and what it was sent. */
  const kernel = (answer: () => Promise<Reply[]>) => {
    const sent: Request[] = [];
    const socket: Pick<NetlinkSocket, 'batch'> = {
      batch(requests) {
        sent.push(...requests);
        return answer();
      },
    };
    return { sent, ask: () => canHook(socket as NetlinkSocket, counting.chain.hook) };
  };
  const refusal = (errno: number) => () => Promise.reject(new KernelError(errno, 2, ''));

  test('is a batch without an end, so that nothing comes of it', async () => {
    const { sent, ask } = kernel(async () => []);
    assert.equal(await ask(), true);
    assert.deepEqual(
      sent.map(({ type }) => type),
      [16, 0x0a00, 0x0a03],
    );
  });

  test('is answered with no when it does not know the hook', async () => {
    assert.equal(await kernel(refusal(constants.errno.EOPNOTSUPP)).ask(), false);
  });

  test('is not answered when it has no memory', async () => {
    await assert.rejects(kernel(refusal(constants.errno.ENOMEM)).ask(), { code: 'ENOMEM' });
  });
});

describe('a set', () => {
  const listed = (set: NftSet) => decodeSet({ ...encodeSet(set, setId), dataLength: 16 }, set);

  for (const set of [...Object.values(sets), counting.set] as NftSet[]) {
    test(`is read as it was written: ${set.name}`, () => {
      assert.deepEqual(listed(set), { ...set, ...(set.intervals && { intervals: [] }) });
    });
  }

  test('has an empty key when it is none of ours', () => {
    const ours = encodeSet(sets.lanes4, setId);
    const timeout = 0x10;
    const ipProtocol = 12;
    assert.deepEqual(decodeSet({ ...ours, flags: timeout }).key, []);
    assert.deepEqual(decodeSet({ ...ours, keyType: (19 << 6) | ipProtocol }).key, []);
    assert.deepEqual(decodeSet({ ...ours, expression: { name: 'limit' } }).key, []);
    assert.deepEqual(decodeSet({ ...encodeSet(sets.snat4, setId), dataType: ipProtocol }).key, []);
  });

  // nft add map inet cni-egress m { type ipv4_addr . mark : ipv4_addr; }
  test('that is a map with a concatenated key tells nft the byte order of both', () => {
    const map: NftSet = { kind: 'set', name: 'm', key: ['ipv4_addr', 'mark'], value: 'ipv4_addr' };
    assert.equal(encodeSetUserdata(map).toString('hex'), '000400000000010402000000030800040d0000000100060400000000');
    assert.equal(encodeSet(map, setId).keyType, 0x1d3);
  });

  test('of ten thousand prefixes is sent in lists that each fit into an attribute', () => {
    const intervals = Array.from({ length: 10_000 }, (_, i) => `fd00:0:${(2 * i + 1).toString(16)}::/48`);
    const [newSet, ...lists] = encodeOperation({ verb: 'add', object: { ...sets.cluster6, intervals } }, setId);
    const sent = lists.map((message) => attributesOf(elementListAttributes, message).elements ?? []);
    assert.equal(newSet && attributesOf(setAttributes, newSet).name, 'cluster6');
    assert.ok(lists.length > 1);
    assert.equal(sent.flat().length, 1 + 2 * intervals.length);
    assert.deepEqual(decodeIntervals(sent.flat()), mergeIntervals(intervals));
  });
});

describe('an interval set', () => {
  const prefix = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 8 }))
    .map(([number, length]) => `${number & (0xff00 >> length)}.0.0.0/${length}`);

  test('is read as it was written, in whatever order the kernel lists it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(prefix), fc.infiniteStream(fc.nat()), (prefixes, random) => {
        const shuffled = encodeIntervals(prefixes)
          .map((element) => ({ element, place: random.next().value ?? 0 }))
          .sort((a, b) => a.place - b.place);
        assert.deepEqual(decodeIntervals(shuffled.map(({ element }) => element)), mergeIntervals(prefixes));
      }),
    );
  });

  test('of ports is read as it was written', () => {
    for (const ports of [['25', '5060-5061'], ['0', '65535'], ['1-65535'], ['0-65535'], ['256', '65280']]) {
      assert.deepEqual(decodeIntervals(encodeIntervals(ports)), mergeIntervals(ports));
    }
  });

  test('with ranges that touch, as others may write it, is read as one range', () => {
    const touching = [...encodeIntervals(['10.0.0.0/24']), ...encodeIntervals(['10.0.1.0/24'])];
    assert.deepEqual(decodeIntervals(touching), mergeIntervals(['10.0.0.0/23']));
  });
});

describe('an element', () => {
  for (const [name, element] of Object.entries({ ...elements, counting: counting.element })) {
    test(`is read as it was written: ${name}`, () => {
      assert.deepEqual(decodeElement({ ...element, name: element.set }, encodeElement(element)), element);
    });
  }
});

describe('a comment', () => {
  test('is a type, a length and a text that ends with NUL', () => {
    assert.equal(encodeComment('ab').toString('hex'), '0003616200');
  });

  test('is found behind what others wrote there', () => {
    assert.equal(decodeComment(Buffer.from('070201020003616200', 'hex')), 'ab');
  });

  test('that is cut short is none', () => {
    assert.equal(decodeComment(Buffer.from('00096162', 'hex')), undefined);
    assert.equal(decodeComment(Buffer.from('00', 'hex')), undefined);
  });

  test('has at most 127 bytes', () => {
    assert.equal(decodeComment(encodeComment('x'.repeat(127))), 'x'.repeat(127));
    assert.throws(() => encodeComment('ü'.repeat(64)), RangeError);
  });
});

test('elements of a message from the kernel are read whatever number they have', () => {
  const body = encode(elementListAttributes, {
    elements: [encodeElement(elements.local), encodeElement(elements.multicast)],
  });
  const reply = { type: 0, flags: 0, body: Buffer.concat([Buffer.alloc(4), body]) };
  assert.equal(attributesOf(elementListAttributes, reply).elements?.length, 2);
});
