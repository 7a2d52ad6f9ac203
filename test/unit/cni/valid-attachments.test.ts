import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { validMarks } from '../../../src/cni/valid-attachments.ts';

const key = 'cni.dev/valid-attachments';
const olderKey = 'cni.dev/attachments';
const one = { containerID: 'a', ifname: 'eth0' };
const other = { containerID: 'b', ifname: 'net1', more: 'is ignored' };

const marks = (document: Record<string, unknown>) => {
  const found = validMarks(document, 'pods');
  return found && [...found];
};

describe('the attachments that GC shall keep', () => {
  test('are not known when the runtime does not say: then nothing may go', () => {
    assert.equal(marks({ name: 'pods' }), undefined);
  });

  test('are none when it says null or an empty list', () => {
    assert.deepEqual([marks({ [key]: null }), marks({ [key]: [] }), marks({ [olderKey]: null })], [[], [], []]);
  });

  test('are those that it lists, on the network of the call', () => {
    assert.deepEqual(marks({ [key]: [one, other] }), ['pods/a/eth0', 'pods/b/net1']);
  });

  test('are taken from the older key when that is alone, and from the key of the specification otherwise', () => {
    assert.deepEqual(marks({ [olderKey]: [one] }), ['pods/a/eth0']);
    assert.deepEqual(marks({ [olderKey]: [one], [key]: [other] }), ['pods/b/net1']);
    assert.deepEqual(marks({ [olderKey]: [one], [key]: [] }), []);
  });

  const malformed = [{}, 'a', 7, true, [null], ['a'], [{}], [{ containerID: 'a' }], [one, { ...one, ifname: 7 }]];
  for (const list of malformed) {
    test(`are refused with the place when they are ${JSON.stringify(list)}`, () => {
      assert.throws(
        () => marks({ [key]: list }),
        (error) =>
          error instanceof EgressError &&
          error.code === 'invalid-configuration' &&
          error.message.includes('#/cni.dev~1valid-attachments: '),
      );
    });
  }
});
