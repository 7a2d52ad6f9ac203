import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readFileOf } from '../config/samples.ts';
import { runOnFiles } from '../support/files-only.ts';

/** `egress import` with these words, where there are these files only. */
const run = (files: Readonly<Record<string, string>>, ...words: string[]) =>
  runOnFiles((path) => files[path], 'import', ...words);

const service = `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations:
    kube-vip.io/egress: "true"
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  loadBalancerIP: 192.168.0.245
  selector: {app: web}
`;
const policy = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumEgressGatewayPolicy',
  metadata: { name: 'all' },
  spec: {
    selectors: [{ podSelector: {} }],
    destinationCIDRs: ['203.0.113.0/24'],
    egressGateway: { nodeSelector: {}, egressIP: '192.168.0.246' },
  },
});
const files = { 'k8s.yaml': `${service}---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n`, 'p.json': policy };

const everything = [
  ...['--gateway', '172.18.0.3', '--gateway', '172.18.0.4', '--node', '172.18.0.5', '--node', '172.18.1.0/24'],
  ...['--interface', 'eth1', '--next-hop', '192.168.0.1', '--cluster-cidr', '10.0.0.0/16', '--address', '192.168.0.9'],
];

describe('egress import', () => {
  test('prints a policy file that the plugin reads, made of all files and options', async () => {
    const { stdout, stderr, exitCode } = await run(files, ...everything, 'k8s.yaml', 'p.json');
    const exit = { gateways: ['172.18.0.3', '172.18.0.4'], interface: 'eth1', nextHop: '192.168.0.1' };
    assert.deepEqual(JSON.parse(stdout), {
      clusterCIDRs: ['10.0.0.0/16'],
      nodes: [{ address: '172.18.0.5' }],
      tunnel: { allowedSources: ['172.18.1.0/24'] },
      exits: [
        { name: 'shop.web', ...exit, addresses: ['192.168.0.245'] },
        { name: 'all', ...exit, addresses: ['192.168.0.246'] },
      ],
      policies: [
        { name: 'shop.web', namespaces: ['shop'], destinations: ['0.0.0.0/0'], exit: 'shop.web', optIn: true },
        { name: 'all', namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'all' },
      ],
    });
    assert.equal(readFileOf(stdout).policies.length, 2);
    assert.deepEqual(
      stderr.split('\n').map((line) => line.split(':', 2).join(':')),
      [
        'warning: k8s.yaml Service shop/web#/spec/selector',
        'warning: k8s.yaml ConfigMap x#',
        'warning: p.json CiliumEgressGatewayPolicy all#/spec/egressGateway',
        ...[0, 0, 1, 1].map((exit, i) => `warning: result#/exits/${exit}/gateways/${i % 2}`),
        '',
      ],
    );
    assert.equal(exitCode, 0);
  });

  const mistakes: readonly (readonly [what: string, words: readonly string[], lines: readonly string[]])[] = [
    ['a file that is not there', ['none.yaml'], ['none.yaml#: the file does not exist']],
    ['a mistake in the text', ['bad.yaml'], ['bad.yaml#: the key is there more than once at line 3 column 1']],
    [
      'mistakes in options',
      ['--gateway', 'gw', '--node', '10.0.0.0/40', '--interface', 'a/b', 'p.json'],
      [
        '--interface#/0: expected an interface name of at most 15 bytes without "/", ":" and white space, got "a/b"',
        '--gateway#/0: expected an IP address, got "gw"',
        '--node#/0: expected an IP address range like "10.0.0.0/8", got "10.0.0.0/40"',
      ],
    ],
    [
      'something missing, with the warnings behind it',
      ['k8s.yaml'],
      [
        'k8s.yaml Service shop/web#/spec/loadBalancerIP: the interface that pods leave by is not known: give it with --interface, or gateways to leave from with --gateway',
        'warning: k8s.yaml Service shop/web#/spec/selector: labels of pods (app=web) have no counterpart, since a CNI plugin is not told them: policy "shop.web" is only for pods that ask for it by the annotation egress.cni/policy ("optIn"); "pods" can tell them by name instead',
        'warning: k8s.yaml ConfigMap x#: nothing to import in v1 ConfigMap: skipped',
      ],
    ],
    [
      'a result that would not be valid',
      ['p.json', '--gateway', '172.18.0.3', '--node', 'fd00::1', '--cluster-cidr', '10.0.0.0/16'],
      [
        'result#/exits/0/gateways/0: VXLAN authenticates nobody, so a gateway takes packets from known nodes only: list the IPv4 addresses of all nodes in "nodes", or their ranges in "tunnel.allowedSources"',
        'warning: p.json CiliumEgressGatewayPolicy all#/spec/egressGateway: which nodes are gateways (any node) has no counterpart: all exits get the nodes of --gateway; see that they are the same',
      ],
    ],
  ];
  for (const [what, words, lines] of mistakes) {
    test(`prints nothing for ${what}, says so, and ends with 1`, async () => {
      const bad = 'kind: a\nb: 1\nkind: a\n';
      const { stdout, stderr, exitCode } = await run({ ...files, 'bad.yaml': bad }, ...words);
      assert.deepEqual(stderr.split('\n').slice(0, -1), lines);
      assert.deepEqual([stdout, exitCode], ['', 1]);
    });
  }
});
