import { describe } from 'node:test';
import { parseAddress } from '../../../src/base/address.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import { hostLinks, hostSuite } from '../../support/host-suite.ts';
import { FakeHost } from './fake-host.ts';
import { held } from './fake-machine.ts';

describe('the fake host does what the kernel does (test/lab/host.test.ts):', () => {
  hostSuite(async () => {
    const host = new FakeHost();
    host.kernel.sysctls.set(reversePathName('all'), '0');
    for (const [i, [name, addresses]] of Object.entries(hostLinks).entries()) {
      host.links.set(name, { index: i + 2, name, up: true, mtu: 1500 });
      host.kernel.sysctls.set(reversePathName(name), '0');
      const own = addresses.map((text) => text.split('/') as [string, string]);
      host.linkAddresses.set(
        name,
        own.map(([address, length]) => held(parseAddress(address) ?? '', Number(length))),
      );
    }
    return { host, interfere: () => host.kernel.generation++, [Symbol.dispose]: () => {} };
  });
});
