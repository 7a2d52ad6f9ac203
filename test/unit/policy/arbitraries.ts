import fc from 'fast-check';
import { type Family, type Prefix, parsePrefix } from '../../../src/base/address.ts';
import { mergePortRanges, type PortRange, type Protocol } from '../../../src/base/port-range.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import type { Packet } from '../../../src/policy/terms.ts';

/** Few addresses and lengths, so that ranges nest and meet often. */
const addresses: Record<Family, readonly string[]> = {
  4: ['10.0.0.1', '10.0.0.200', '10.128.3.4', '11.0.0.1', '203.0.113.9'],
  6: ['fd00::1', 'fd00::1:0:0:1', 'fd00:0:0:1::1', '2001:db8::1'],
};
const lengths: Record<Family, readonly number[]> = { 4: [0, 7, 8, 9, 24, 25, 32], 6: [0, 8, 32, 64, 96, 128] };

export const anyFamily = fc.constantFrom<Family>(4, 6);

/** One of few addresses: one that the ranges of {@link anyPrefix} are likely to hold. */
export const anyAddress = anyFamily.chain((family) => fc.constantFrom(...addresses[family]));

/** A canonical prefix of either family. */
export const anyPrefix: fc.Arbitrary<Prefix> = anyFamily.chain((family) =>
  fc
    .tuple(fc.constantFrom(...addresses[family]), fc.constantFrom(...lengths[family]))
    .map(([address, length]) => parsePrefix(`${address}/${length}`) ?? ''),
);

/** One of few ports, of the few protocols that {@link anyPorts} has ranges of; or what no policy can name. */
export const anyPort: fc.Arbitrary<Pick<Packet, 'protocol' | 'port'>> = fc.oneof(
  fc.record({ protocol: fc.constantFrom<Protocol>('tcp', 'udp'), port: fc.integer({ min: 1, max: 6 }) }),
  fc.constantFrom<Pick<Packet, 'protocol'>>({ protocol: 'tcp' }, { protocol: 'icmp' }, {}),
);

/** Merged ranges of ports that overlap and adjoin often; or none at all. */
export const anyPorts: fc.Arbitrary<PortRange[] | undefined> = fc.option(
  fc
    .array(
      fc.constantFrom('tcp', 'tcp:1', 'tcp:1-3', 'tcp:2-5', 'tcp:4-6', 'tcp:6', 'udp', 'udp:1-6', 'udp:3', 'icmp'),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    .map(mergePortRanges),
  { nil: undefined },
);

/** Policies with different names, made to get in each other's way. */
export const anyPolicies: fc.Arbitrary<Policy[]> = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('a', 'B', 'c', 'D', 'e', 'f-1', 'f.1'),
    namespaces: fc.constantFrom(['*'], ['blue'], ['red', 'b*'], ['red']),
    pods: fc.constantFrom(['*'], ['*'], ['web-0'], ['db', 'web-*']),
    destinations: fc.array(anyPrefix, { minLength: 1, maxLength: 4 }),
    except: fc.array(anyPrefix, { maxLength: 2 }),
    exit: fc.constantFrom('internet', 'partners', 'node', 'drop'),
    priority: fc.constantFrom(0, 0, 0, -1, 100),
  }),
  { selector: ({ name }) => name, maxLength: 7 },
);

/** A policy for all pods and all destinations, but for what is said of it. */
export const policy = (name: string, more: Partial<Policy> = {}): Policy => ({
  name,
  namespaces: ['*'],
  pods: ['*'],
  destinations: ['0.0.0.0/0', '::/0'],
  except: [],
  exit: 'internet',
  priority: 0,
  ...more,
});
