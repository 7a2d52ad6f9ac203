import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { addressOf } from '../../../src/datapath/slots.ts';
import { choosePorts, egressOf, type PortsRequest } from '../../../src/node/ports.ts';
import type { PortBlock } from '../../../src/policy/port-blocks.ts';
import type { AttachmentRecord } from '../../../src/store/record.ts';
import { configuration, gatewayConfiguration } from '../support/fake-machine.ts';

const partners: ResolvedExit = {
  name: 'partners',
  id: 7,
  device: 'eth1',
  ways: [{ family: 4, addresses: ['192.168.0.245'] }],
};
const shared: ResolvedExit = { ...partners, name: 'shared', id: 50, gateway: '172.18.0.6', device: 'egress0' };

const ported = (portsPerPod: number) =>
  configuration({ exits: [{ name: 'partners', interface: 'eth1', portsPerPod }] });

const request = (changes: Partial<PortsRequest> = {}): PortsRequest => ({
  configuration: ported(1024),
  exits: [partners],
  ownEnd: undefined,
  addresses: ['10.0.0.5'],
  pod: { namespace: 'red' },
  previous: [],
  others: [],
  ...changes,
});

const block = (first: number, last: number, exit = 'partners'): PortBlock => ({ exit, first, last });

/** Another attachment, with as much as is looked at. */
const other = (address: string, ...ports: PortBlock[]) => of('blue', address, ...ports);

const of = (namespace: string | undefined, address: string, ...ports: PortBlock[]) =>
  ({ addresses: [address], pod: { namespace }, ports }) as unknown as AttachmentRecord;

describe('a limit of blocks for each namespace', () => {
  const limited = (portBlocksPerNamespace: number) =>
    configuration({ exits: [{ name: 'partners', interface: 'eth1', portsPerPod: 1024, portBlocksPerNamespace }] });
  const others = [
    of('red', '10.0.0.6', block(1024, 2047)),
    of('red', '10.0.0.7', block(2048, 3071), block(1024, 2047, 'backup')),
    of('red', '10.0.0.8', block(2048, 3071, 'backup')),
    of('red', '10.0.0.9'),
    of('blue', '10.0.0.10', block(3072, 4095)),
    of(undefined, '10.0.0.11', block(4096, 5119)),
  ];
  const chosen = (most: number, namespace: string | undefined, changes: Partial<PortsRequest> = {}) =>
    choosePorts(
      request({ configuration: limited(most), others, pod: { ...(namespace && { namespace }) }, ...changes }),
    );

  test('counts blocks of the exit that its pods have, on whatever address, and no others', () => {
    assert.deepEqual(chosen(3, 'red'), [block(5120, 6143)]);
    assert.throws(
      () => chosen(2, 'red'),
      new EgressError(
        'ports-exhausted',
        'Exit "partners" gives pods of one namespace at most 2 blocks of source ports on a node (portBlocksPerNamespace), and pods of namespace "red" have 2',
      ),
    );
    assert.deepEqual(chosen(2, 'blue'), [block(5120, 6143)]);
    assert.deepEqual(chosen(1, 'green'), [block(5120, 6143)]);
  });

  test('is the same for pods without a namespace, which have it together', () => {
    assert.deepEqual(chosen(2, undefined), [block(5120, 6143)]);
    assert.throws(() => chosen(1, undefined), /at most 1 block of .*, and pods without a namespace have 1$/);
  });

  test('takes nothing from a pod that has a block already', () => {
    assert.deepEqual(chosen(1, 'red', { previous: [block(7168, 8191)] }), [block(7168, 8191)]);
    assert.throws(() => chosen(1, 'red', { previous: [block(7168, 8191, 'backup')] }), /have 2$/);
  });
});

describe('ports of an attachment', () => {
  test('are none by exits that give none', () => {
    assert.deepEqual(choosePorts(request({ configuration: configuration() })), []);
  });

  test('are those that it had before, and else the lowest that no other has by the same exit', () => {
    const others = [other('10.0.0.6', block(1024, 2047)), other('10.0.0.7', block(2048, 3071, 'backup'))];
    assert.deepEqual(choosePorts(request({ others })), [block(2048, 3071)]);
    assert.deepEqual(choosePorts(request({ others, previous: [block(5120, 6143)] })), [block(5120, 6143)]);
    assert.deepEqual(choosePorts(request({ others, previous: [block(1024, 2047)] })), [block(2048, 3071)]);
  });

  test('may be those of another that leaves with another address', () => {
    const addresses = ['192.168.0.245', '192.168.0.246'];
    const exit = { ...partners, ways: [{ family: 4, addresses }] } as const;
    const [mine] = egressOf(exit, ['10.0.0.5']);
    const all = Array.from({ length: 64 }, (_, i) => `10.0.0.${i}`).filter((address) => address !== '10.0.0.5');
    const [same = '', apart = ''] = [true, false].map((isSame) =>
      all.find((address) => (addressOf(addresses, address) === mine) === isSame),
    );
    const portsBeside = (address: string) =>
      choosePorts(request({ exits: [exit], others: [other(address, block(1024, 2047))] }));
    assert.deepEqual(portsBeside(same), [block(2048, 3071)]);
    assert.deepEqual(portsBeside(apart), [block(1024, 2047)]);
  });

  test('that leaves by a gateway are of its node’s share, by the node’s place in the list', () => {
    const exits = [{ name: 'shared', gateways: ['172.18.0.6'], addresses: ['192.0.2.50'], portsPerPod: 1024 }];
    const on = (address: string) =>
      choosePorts(
        request({
          configuration: gatewayConfiguration({ exits, policies: [] }),
          exits: [shared],
          ownEnd: { address, underlayMtu: 1500 },
        }),
      );
    assert.deepEqual(
      ['172.18.0.5', '172.18.0.6', '172.18.0.7'].flatMap((address) => on(address).map(({ first }) => first)),
      [1024, 1024 + 21 * 1024, 1024 + 42 * 1024],
    );
    assert.throws(
      () => on('172.18.0.8'),
      new EgressError(
        'node-address',
        'Exit "shared" shares its source ports out among nodes, and this node\'s address 172.18.0.8 is not in nodes',
      ),
    );
  });
});
