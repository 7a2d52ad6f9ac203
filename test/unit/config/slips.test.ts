import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readFileOf, refusalOf } from './samples.ts';

const exit = { name: 'sip', interface: 'eth1' };
const policyWith = (part: object) => ({
  exits: [exit],
  policies: [{ name: 'p', namespaces: ['a'], exit: 'sip', ...part }],
});
const exitWith = (part: object) => ({ exits: [{ ...exit, ...part }] });

/** What people wrote who knew Kubernetes and had read the first README → what they are told in the end of the message. */
const slips: readonly (readonly [what: string, document: object, ...ends: string[]])[] = [
  [
    'one thing in the place of a list',
    policyWith({ namespaces: 'billing' }),
    'got "billing", did you mean ["billing"]?',
  ],
  [
    'addresses in the place of nodes',
    { nodes: ['172.18.0.3'] },
    'got "172.18.0.3", did you mean {"address":"172.18.0.3"}?',
  ],
  [
    'an address with its length',
    exitWith({ addresses: ['192.0.2.1/24'] }),
    'got "192.0.2.1/24", did you mean "192.0.2.1"?',
  ],
  ['port/protocol', policyWith({ ports: ['5060/udp'] }), 'got "5060/udp", did you mean "udp:5060"?'],
  ['protocol/port', policyWith({ ports: ['udp/5060'] }), 'got "udp/5060", did you mean "udp:5060"?'],
  [
    'a range with a colon',
    policyWith({ ports: ['udp:5060:5070'] }),
    'got "udp:5060:5070", did you mean "udp:5060-5070"?',
  ],
  [
    'a port alone',
    policyWith({ ports: [5060, '5060-5061'] }),
    'got 5060, did you mean "tcp:5060"?',
    'got "5060-5061", did you mean "tcp:5060-5061"?',
  ],
  ['what YAML makes of tcp: 443', policyWith({ ports: [{ tcp: 443 }] }), 'got {"tcp":443}, did you mean "tcp:443"?'],
  [
    'ports of a NetworkPolicy',
    policyWith({ ports: [{ protocol: 'UDP', port: 5060, endPort: 5070 }] }),
    'got {"protocol":"UDP","port":5060,"endPort":5070}, did you mean "udp:5060-5070"?',
  ],
  ['everywhere', policyWith({ destinations: ['any'] }), 'got "any", did you mean "0.0.0.0/0"?'],
  [
    'the name of a host',
    policyWith({ destinations: ['*.example.com'] }),
    'got "*.example.com": names of hosts cannot be used',
  ],
  [
    'labels in the place of namespaces',
    policyWith({ namespaces: { matchLabels: { team: 'a' } } }),
    'got {"matchLabels":{"team":"a"}}: labels go into "namespaceSelector", beside "namespaces": ["*"]',
  ],
  [
    'a label among namespaces',
    policyWith({ namespaces: ['a=b'] }),
    'got "a=b": labels go into "namespaceSelector", beside "namespaces": ["*"]',
  ],
  [
    'policies that are indented too far',
    exitWith({ policies: [] }),
    'unknown key, "policies" belongs to the whole document, not in here: is it indented too far?',
  ],
  [
    'labels of gateways',
    exitWith({ gatewaySelector: {} }),
    'unknown key, only objects of Kubernetes (EgressExit) choose gateways by labels; in a policy file "gateways" lists their addresses',
  ],
  [
    'names of other projects',
    policyWith({ destinationCIDRs: [], to: [], labels: {} }),
    'unknown key, did you mean "destinations"?',
    'unknown key, did you mean "destinations"?',
    'unknown key, did you mean "podSelector"?',
  ],
  [
    'everyday names',
    exitWith({ dev: 'eth1', egressIP: '' }),
    'unknown key, did you mean "interface"?',
    'unknown key, did you mean "addresses"?',
  ],
  ['the singular', { policy: [] }, 'unknown key, did you mean "policies"?'],
  [
    'an object of Kubernetes',
    { apiVersion: 'egress.cni/v1alpha1' },
    'unknown key, this is an object of Kubernetes, which "kubectl apply" takes and judges; the policy file has only "exits", "policies" and other options',
  ],
  // Nothing is proposed that would be wrong, too.
  ['a port that is none', policyWith({ ports: ['70000'] }), 'got "70000"'],
  ['names that every object has', exitWith({ constructor: 1 }), 'unknown key, expected one of "name", "id",'],
  [
    'a thing that is no text',
    policyWith({ ports: [{ protocol: { toString: 1 }, port: 7 }] }),
    'got {"protocol":{"toString":1},"port":7}',
  ],
];

describe('a slip is told with what was meant:', () => {
  for (const [what, document, ...ends] of slips) {
    test(what, () => {
      const lines = String(refusalOf(() => readFileOf(JSON.stringify(document))).slice(1)).split(',/p.json');
      assert.deepEqual(
        lines.map((line, i) => line.includes(ends[i] ?? 'nothing')),
        ends.map(() => true),
        lines.join('\n'),
      );
    });
  }
});
