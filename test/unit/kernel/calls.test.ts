import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { addressOf, call, callLater, errno } from '../../../src/kernel/native/calls.ts';

const folder = resolve(import.meta.dirname, '../../../src/kernel/native');
const [EBADF, EAGAIN, EFAULT] = [9, 11, 14];
const [AF_UNIX, SOCK_DGRAM, AF_NETLINK, SOCK_RAW] = [1, 2, 16, 3];
const [LOCK_EX, LOCK_NB] = [2, 4];

const numberIn = (bytes: Buffer) => bytes.readUInt32LE(0);
const lengthOf = (length: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
};

test('the addons are made of the source beside them: after a change run src/kernel/native/make.sh', () => {
  const hash = (file: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex');
  const made = readFileSync(join(folder, 'sources.sha256'), 'utf8').trim().split('\n');
  assert.deepEqual(made, [hash('calls.c'), hash('make.sh')]);
});

test('the kernel reads and writes bytes that it is given, wherever they begin', () => {
  const fd = call('socket', AF_NETLINK, SOCK_RAW, 0);
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK);
  address.writeUInt32LE(1_234_567, 4);
  assert.equal(call('bind', fd, address, address.length), 0);
  const room = Buffer.alloc(64).subarray(20, 32);
  const length = lengthOf(room.length);
  assert.equal(call('getsockname', fd, room, length), 0);
  assert.deepEqual([room, numberIn(length)], [address, address.length]);
  const words = new Uint32Array(3);
  assert.equal(call('getsockname', fd, words, lengthOf(12)), 0);
  assert.equal(words[1], 1_234_567);
  closeSync(fd);
});

test('six values reach the kernel: a message goes to the address of the fifth and sixth', () => {
  const [from, to] = [call('socket', AF_UNIX, SOCK_DGRAM, 0), call('socket', AF_UNIX, SOCK_DGRAM, 0)];
  const address = Buffer.from('\x01\0\0egress-calls-test');
  address.writeUInt16LE(AF_UNIX);
  assert.equal(call('bind', to, address, address.length), 0);
  const message = Buffer.from('from one to the other');
  assert.equal(call('sendto', from, message, message.length, 0, address, address.length), message.length);
  const got = Buffer.alloc(100);
  assert.equal(call('recvfrom', to, got, got.length, 0, null, null), message.length);
  assert.equal(got.toString('utf8', 0, message.length), message.toString());
  closeSync(from);
  closeSync(to);
});

test('an error is -1, and errno says which', () => {
  assert.deepEqual([call('flock', 987_654, LOCK_EX), errno()], [-1, EBADF]);
  const fd = call('socket', AF_NETLINK, SOCK_RAW, 0);
  assert.deepEqual([call('bind', fd, null, 12), errno()], [-1, EFAULT]);
  closeSync(fd);
});

test('bytes have an address, and a part of them another one', () => {
  const bytes = Buffer.alloc(100);
  assert.equal(addressOf(bytes.subarray(30)) - addressOf(bytes), 30n);
});

test('a call waits in a thread, and this one goes on', async () => {
  const place = mkdtempSync(join(tmpdir(), 'egress-calls-'));
  const open = () => openSync(join(place, 'lock'), 'w');
  const [first, second] = [open(), open()];
  assert.equal(call('flock', first, LOCK_EX), 0);
  assert.deepEqual([call('flock', second, LOCK_EX | LOCK_NB), errno()], [-1, EAGAIN]);
  const { promise, resolve: done } = Promise.withResolvers<number>();
  callLater('flock', done, second, LOCK_EX);
  closeSync(first);
  assert.equal(await promise, 0);
  const failed = Promise.withResolvers<readonly number[]>();
  callLater('flock', (result) => failed.resolve([result, errno()]), 987_654, LOCK_EX);
  assert.deepEqual(await failed.promise, [-1, EBADF]);
  closeSync(second);
  rmSync(place, { recursive: true });
});
