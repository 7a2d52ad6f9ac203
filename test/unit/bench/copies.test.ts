import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { iptablesCopies, nftCopies } from '../../bench/copies.ts';
import { podOf } from '../../bench/node.ts';
import { Namespace } from '../../support/namespace.ts';

const network = new Namespace('pods');
const [model, second, third] = [podOf(network, 1), podOf(network, 2), podOf(network, 3)];
const copied = { model, address: '10.1.0.2', pods: [second, third] };

describe('rules of more pods', () => {
  test('of iptables are those of the model, in chains of their own', () => {
    const saved = `*nat
:POSTROUTING ACCEPT [0:0]
:CNI-ab - [0:0]
-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \\"bench\\" id: \\"container-1\\"" -j CNI-ab
-A CNI-ab -d 10.1.0.0/16 -j ACCEPT
COMMIT
`;
    assert.deepEqual(iptablesCopies(saved, 'CNI-', copied).split('\n'), [
      '*nat',
      ':CNI-20002 - [0:0]',
      ':CNI-20003 - [0:0]',
      '-A POSTROUTING -s 10.0.0.2/32 -m comment --comment "name: \\"bench\\" id: \\"container-2\\"" -j CNI-20002',
      '-A CNI-20002 -d 10.1.0.0/16 -j ACCEPT',
      '-A POSTROUTING -s 10.0.0.3/32 -m comment --comment "name: \\"bench\\" id: \\"container-3\\"" -j CNI-20003',
      '-A CNI-20003 -d 10.1.0.0/16 -j ACCEPT',
      'COMMIT',
      '',
    ]);
    assert.throws(() => iptablesCopies('*nat\n', 'CNI-', copied), /container-1 has no chain CNI-/);
  });

  test('of nftables are those of the model, in the same chains', () => {
    const listed = `table ip cni_hostport {
	chain hostports {
		tcp dport 20001 dnat to 10.1.0.2:80 comment "container-1"
		tcp dport 20011 dnat to 10.1.0.9:80 comment "container-11"
	}
	chain masquerading {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.1.0.2 masquerade comment "container-1"
	}
}
`;
    assert.deepEqual(nftCopies(listed, 'ip cni_hostport', copied).split('\n'), [
      'add rule ip cni_hostport hostports tcp dport 20002 dnat to 10.0.0.2:80 comment "container-2"',
      'add rule ip cni_hostport hostports tcp dport 20003 dnat to 10.0.0.3:80 comment "container-3"',
      'add rule ip cni_hostport masquerading ip saddr 10.0.0.2 masquerade comment "container-2"',
      'add rule ip cni_hostport masquerading ip saddr 10.0.0.3 masquerade comment "container-3"',
      '',
    ]);
    assert.throws(() => nftCopies('', 'ip cni_hostport', copied), /container-1 has no rule in ip cni_hostport/);
  });
});
