import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode, encode, type Message } from '../../support/runtime/protobuf.ts';

const pod = { name: [1, 'text'], attempt: [4, 'number'] } as const satisfies Message;
const message = {
  pod: [1, pod],
  ports: [5, [{ host: [3, 'number'] }]],
  annotations: [7, 'map'],
  verbose: [16, 'boolean'],
} as const satisfies Message;

/** By hand, from the specification of the encoding. */
const bytes = [
  '0a08 0a03 776562 20 ac02', // 1: { 1: "web", 4: 300 }
  '2a02 18 50 2a03 18 bb03', // 5: { 3: 80 }, 5: { 3: 443 }
  '3a06 0a01 61 12 01 62', // 7: { 1: "a", 2: "b" }
  '8001 01', // 16: true
]
  .join('')
  .replaceAll(' ', '');

const values = {
  pod: { name: 'web', attempt: 300 },
  ports: [{ host: 80 }, { host: 443 }],
  annotations: { a: 'b' },
  verbose: true,
};

describe('a message of the CRI', () => {
  test('is written as protocol buffers have it', () => {
    assert.equal(encode(message, values).toString('hex'), bytes);
  });

  test('is read again, without fields that nobody asked for', () => {
    assert.deepEqual(decode(message, Buffer.from(bytes, 'hex')), values);
    assert.deepEqual(decode({ verbose: message.verbose }, Buffer.from(bytes, 'hex')), { verbose: true });
  });
});
