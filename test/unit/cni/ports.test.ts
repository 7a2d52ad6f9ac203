import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { choosePorts, egressOf, type PortsRequest } from '../../../src/cni/ports.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { addressOf } from '../../../src/datapath/spread.ts';
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
  previous: [],
  others: [],
  ...changes,
});

const block = (first: number, last: number, exit = 'partners'): PortBlock => ({ exit, first, last });

/** Another attachment, with as much as is looked at. */
const other = (address: string, ...ports: PortBlock[]) =>
  ({ addresses: [address], ports }) as unknown as AttachmentRecord;

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
