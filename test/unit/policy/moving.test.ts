import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Exit, movingAddresses } from '../../../src/policy/exit.ts';

const exit = (gateways: readonly string[], addresses: readonly string[]) =>
  ({ gateways, addresses }) as unknown as Exit;

test('addresses move among the gateways of their exit: each once, and none of an exit with one gateway, or with others', () => {
  const exits = [
    exit(['172.18.0.3', '172.18.0.4'], ['192.0.2.50', '2001:db8::50']),
    exit(['172.18.0.4', '172.18.0.3'], ['192.0.2.50']),
    exit(['172.18.0.3'], ['192.0.2.51']),
    exit(['172.18.0.4', '172.18.0.5'], ['192.0.2.52']),
    exit([], ['192.0.2.53']),
  ];
  assert.deepEqual(movingAddresses(exits, '172.18.0.3'), ['192.0.2.50', '2001:db8::50']);
});
