import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asked, gatewayPolicy, imported, importedValues } from './samples.ts';

/** Pods with labels on one node, and all destinations of both families. */
const sample = `
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-sample
spec:
  selectors:
  - podSelector:
      matchLabels:
        org: empire
        class: mediabot
        io.kubernetes.pod.namespace: default
    nodeSelector:
      matchLabels:
        node.kubernetes.io/name: node1
  destinationCIDRs:
  - "0.0.0.0/0"
  - "::/0"
  excludedCIDRs:
  - 10.0.0.0/8
  egressGateway:
    nodeSelector:
      matchLabels:
        node.kubernetes.io/name: node2
    egressIP: 10.168.60.100
`;

const asks = (name: string) =>
  `policy "${name}" is only for pods that ask for it by the annotation egress.cni/policy ("optIn")`;
const at = 'k8s.yaml CiliumEgressGatewayPolicy egress-sample';
const gatewaysOf = (nodes: string) =>
  `which nodes are gateways (${nodes}) has no counterpart: all exits get the nodes of --gateway; see that they are the same`;

const noIPv6 =
  'packets of IPv6 are dropped, for the address that they leave with is not known (Cilium takes one of the gateway’s interface): give it with --address';

describe('a CiliumEgressGatewayPolicy', () => {
  test('becomes an exit and a policy, and labels without counterpart make it one that pods ask for', () => {
    const { document, warnings, errors } = imported(sample);
    assert.deepEqual(document, {
      clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
      tunnel: { allowedSources: ['172.18.0.0/24'] },
      exits: [{ name: 'egress-sample', gateways: ['172.18.0.3'], addresses: ['10.168.60.100'] }],
      policies: [
        {
          name: 'egress-sample',
          namespaces: ['default'],
          destinations: ['0.0.0.0/0', '::/0'],
          except: ['10.0.0.0/8'],
          exit: 'egress-sample',
          optIn: true,
        },
      ],
    });
    assert.deepEqual(warnings, [
      `${at}#/spec/selectors/0/podSelector: labels of pods (org=empire, class=mediabot) have no counterpart, since a CNI plugin is not told them: ${asks('egress-sample')}; "pods" can tell them by name instead`,
      `${at}#/spec/selectors/0/nodeSelector: labels of the pods’ nodes (node.kubernetes.io/name=node1) have no counterpart, since a CNI plugin is not told them: ${asks('egress-sample')}; the policy can stand in the policy file of these nodes only instead`,
      `${at}#/spec/egressGateway: ${gatewaysOf('node.kubernetes.io/name=node2')}`,
      `${at}#/spec/egressGateway: ${noIPv6}`,
    ]);
    assert.deepEqual(errors, []);
  });

  test('without gateways names what is missing, and there is no document', () => {
    const { document, errors } = imported(sample, { ...asked, gateways: [] });
    assert.deepEqual(errors, [
      `${at}#/spec/egressGateway: the addresses of gateway nodes are not known: give them with --gateway`,
    ]);
    assert.equal(document, undefined);
  });

  test('without nodes names what is missing, since gateways would take packets of nobody', () => {
    const { document, errors } = imported(sample, { ...asked, nodeRanges: [] });
    assert.deepEqual(errors, [
      'result#/nodes: gateways take packets of known nodes only: give the underlay addresses of all nodes, or their ranges, with --node',
    ]);
    assert.equal(document, undefined);
  });

  const places: readonly (readonly [what: string, selector: object, namespaces: readonly string[]])[] = [
    ['an empty selector of pods', { podSelector: {} }, ['*']],
    ['an empty selector of namespaces', { namespaceSelector: {} }, ['*']],
    ['the label of pods', { podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'a' } } }, ['a']],
    ['the same with its source', { podSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'a' } } }, ['a']],
    ['the label of namespaces', { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'a' } } }, ['a']],
    [
      'a list of namespaces, less those that are not in another one',
      {
        podSelector: {
          matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'In', values: ['a', 'b', 'c'] }],
        },
        namespaceSelector: {
          matchExpressions: [
            { key: 'kubernetes.io/metadata.name', operator: 'In', values: ['c', 'b', 'd'] },
            { key: 'kubernetes.io/metadata.name', operator: 'Exists' },
          ],
        },
      },
      ['b', 'c'],
    ],
  ];
  for (const [what, selector, namespaces] of places) {
    test(`with ${what} is for all pods of ${namespaces.join(' and ')}`, () => {
      const { document } = importedValues([gatewayPolicy('p', { selectors: [selector] })]);
      assert.deepEqual(
        document?.policies?.map(({ namespaces, optIn }) => ({ namespaces, optIn })),
        [{ namespaces, optIn: undefined }],
      );
    });
  }

  const nobody: readonly (readonly [what: string, selectors: readonly object[]])[] = [
    ['without selectors', []],
    ['with a namespace that cannot be', [{ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': '*' } } }]],
    [
      'with two namespaces at once',
      [
        {
          podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'a' } },
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'b' } },
        },
      ],
    ],
    [
      'for pods without namespace',
      [{ podSelector: { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'DoesNotExist' }] } }],
    ],
  ];
  for (const [what, selectors] of nobody) {
    test(`${what} is for nobody, so nothing is made of it`, () => {
      const { document, warnings, errors } = importedValues([gatewayPolicy('p', { selectors })]);
      assert.deepEqual([document, errors.map(({ message }) => message)], [undefined, ['there is nothing to import']]);
      assert.deepEqual(
        warnings.map(({ message }) => message),
        ['no pod fits: left out'],
      );
    });
  }

  test('for all pods of one namespace and some of another becomes two policies with one exit', () => {
    const selectors = [
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } } },
      { podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'bank', app: 'till' } } },
      { podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'shop', app: 'till' } } },
    ];
    const { document, warnings } = importedValues([gatewayPolicy('p', { selectors })]);
    const [destinations, exit] = [['0.0.0.0/0'], 'p'];
    assert.deepEqual(document?.policies, [
      { name: 'p', namespaces: ['shop'], destinations, exit },
      { name: 'p-opt-in', namespaces: ['bank'], destinations, exit, optIn: true },
    ]);
    assert.deepEqual(
      warnings.map(({ pointer }) => pointer),
      ['/spec/selectors/1/podSelector', '/spec/egressGateway'],
      'pods of shop need not ask',
    );
  });

  test('with an interface keeps it, and needs the address and the router behind it', () => {
    const policy = gatewayPolicy('p', { egressGateway: { interface: 'eth1' } });
    const without = importedValues([policy]);
    assert.deepEqual(
      without.errors.map(({ message }) => message),
      ['the addresses that pods leave with are not known: give them with --address'],
    );
    const options = { ...asked, addresses: ['192.168.0.245'], nextHops: ['192.168.0.1', 'fe80::1'] };
    assert.deepEqual(importedValues([policy], options).document?.exits, [
      {
        name: 'p',
        gateways: ['172.18.0.3'],
        interface: 'eth1',
        nextHop: '192.168.0.1',
        addresses: ['192.168.0.245'],
      },
    ]);
    const routerless = importedValues([policy], { ...options, nextHops: [] });
    assert.match(routerless.warnings.map(({ message }) => message).join(), /router behind eth1 .* --next-hop/);
  });

  test('with several gateways gets all their addresses, as Cilium spreads pods over them', () => {
    const gateway = (zone: string, more: object) => ({ nodeSelector: { matchLabels: { zone } }, ...more });
    const { document, warnings } = importedValues([
      gatewayPolicy('p', {
        egressGateways: [
          gateway('a', { egressIP: '192.168.60.1' }),
          gateway('b', { egressIP: '192.168.60.2' }),
          gateway('c', { interface: 'eth1' }),
        ],
      }),
    ]);
    assert.deepEqual(document?.exits, [
      { name: 'p', gateways: ['172.18.0.3'], interface: 'eth1', addresses: ['192.168.60.1', '192.168.60.2'] },
    ]);
    assert.deepEqual(
      warnings.map(({ pointer, message }) => `${pointer}: ${message.split(':')[0]}`),
      [
        '/spec/egressGateway: Cilium does not look at it beside "egressGateways"',
        '/spec/egressGateways: different interfaces of gateways have no counterpart',
        '/spec/egressGateways: the addresses of gateways without "egressIP" are not known',
        '/spec/egressGateways: which nodes are gateways (zone=a; zone=b; zone=c) has no counterpart',
        '/spec/egressGateways: the router behind eth1 is not known, so all destinations count as its neighbours',
      ],
    );
  });

  // What Cilium 1.20.2 refuses or takes as switched off has no effect there.
  const withoutEffect: readonly (readonly [what: string, spec: object, pointer: string, warning: RegExp])[] = [
    [
      'with interface and address',
      { egressGateway: { interface: 'eth1', egressIP: '192.168.60.1' } },
      '/spec/egressGateway',
      /^Cilium refuses a policy with both "interface" and "egressIP"/,
    ],
    [
      'of which one selector is of nodes only',
      { selectors: [{ podSelector: {} }, { nodeSelector: { matchLabels: { zone: 'one' } } }] },
      '/spec/selectors/1',
      /^Cilium refuses a policy with a selector of neither pods nor namespaces/,
    ],
    [
      'with an empty list of destinations',
      { destinationCIDRs: [] },
      '/spec/destinationCIDRs',
      /switches the policy off/,
    ],
    [
      'whose destinations are excluded',
      { destinationCIDRs: ['10.0.0.0/8'], excludedCIDRs: ['10.0.0.0/8'] },
      '/spec/excludedCIDRs',
      /^they hold all destinations: "p" is left out$/,
    ],
  ];
  for (const [what, spec, pointer, warning] of withoutEffect) {
    test(`${what} is left out, which is told`, () => {
      const { document, warnings } = importedValues([
        gatewayPolicy('p', spec),
        gatewayPolicy('q', { destinationCIDRs: ['203.0.113.0/24'] }),
      ]);
      assert.deepEqual(
        document?.policies?.map(({ name }) => name),
        ['q'],
      );
      const told = warnings.filter((each) => each.source.endsWith(' p'));
      assert.deepEqual(
        told.map((each) => each.pointer),
        [pointer],
      );
      assert.match(told[0]?.message ?? '', warning);
    });
  }

  test('with an empty interface or address is as if it were absent', () => {
    const leaving = (egressGateway: object, addresses: string[] = []) =>
      importedValues([gatewayPolicy('p', { egressGateway })], { ...asked, addresses }).document?.exits;
    const [name, gateways] = ['p', ['172.18.0.3']];
    assert.deepEqual(leaving({ interface: '', egressIP: '192.0.2.10' }), [
      { name, gateways, addresses: ['192.0.2.10'] },
    ]);
    assert.deepEqual(leaving({ interface: 'eth1', egressIP: '' }, ['192.0.2.9']), [
      { name, gateways, interface: 'eth1', addresses: ['192.0.2.9'] },
    ]);
  });

  test('with an address of one family and destinations of both is told, or gets the other one from --address', () => {
    const spec = { destinationCIDRs: ['203.0.113.0/24', '2001:db8:5::/48'] };
    const exitWith = (...addresses: string[]) => {
      const { document, warnings } = importedValues([gatewayPolicy('p', spec)], { ...asked, addresses });
      return [document?.exits?.[0]?.addresses, warnings.some(({ message }) => message === noIPv6)];
    };
    assert.deepEqual(exitWith(), [['192.168.60.100'], true]);
    assert.deepEqual(exitWith('192.0.2.9', '2001:db8::9'), [['192.168.60.100', '2001:db8::9'], false]);
  });

  test('is for the nodes of all its selectors, whichever pods they are beside', () => {
    const inNamespace = (name: string) => ({
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
    });
    const selectorsWith = (nodeSelector: object) => [{ ...inNamespace('a'), nodeSelector }, inNamespace('b')];
    const narrowed = importedValues([
      gatewayPolicy('p', { selectors: selectorsWith({ matchLabels: { zone: 'one' } }) }),
    ]);
    assert.deepEqual(
      narrowed.document?.policies?.map(({ namespaces, optIn }) => [namespaces, optIn]),
      [[['a', 'b'], true]],
    );
    assert.match(
      narrowed.warnings[0]?.message ?? '',
      /^labels of the pods’ nodes \(zone=one\), which Cilium asks for in all selectors, have no counterpart/,
    );
    const all = importedValues([gatewayPolicy('p', { selectors: selectorsWith({}) })]);
    assert.deepEqual(
      all.document?.policies?.map(({ namespaces, optIn }) => [namespaces, optIn]),
      [[['a', 'b'], undefined]],
    );
  });

  test('tells of keys that are not known, and does not choose more pods than one that may narrow it', () => {
    const { document, warnings } = importedValues([
      gatewayPolicy('p', { selectors: [{ podSelector: {}, podSelektor: {} }], priority: 3 }),
    ]);
    assert.deepEqual(
      document?.policies?.map(({ optIn }) => optIn),
      [true],
    );
    assert.deepEqual(
      warnings.slice(0, 3).map(({ pointer, message }) => `${pointer}: ${message}`),
      [
        '/spec/selectors/0/podSelektor: unknown key, did you mean "podSelector"?; it is left out',
        '/spec/priority: unknown key, expected one of "selectors", "destinationCIDRs", "excludedCIDRs", "egressGateway", "egressGateways"; it is left out',
        `/spec/selectors/0: it is not known which pods the unknown key chooses: ${asks('p')}; namespaces and names of the pods can be listed instead`,
      ],
    );
  });

  test('without destinations is refused: it has no effect in Cilium, and would have all of them here', () => {
    const { document, errors } = importedValues([gatewayPolicy('p', { destinationCIDRs: null })]);
    assert.deepEqual(
      [document, ...errors.map(({ pointer, message }) => `${pointer}: ${message}`)],
      [undefined, '/spec/destinationCIDRs: expected a list of address ranges, got nothing'],
    );
  });
});

describe('exclusions of CiliumEgressGatewayPolicies', () => {
  const selected = { selectors: [{ podSelector: { matchLabels: { app: 'till' } } }] };
  const hole = { destinationCIDRs: ['0.0.0.0/0', '10.1.0.0/16'], excludedCIDRs: ['10.0.0.0/8'] };
  const policiesOf = (...values: object[]) => {
    const { document, warnings } = importedValues(values);
    const parts = document?.policies?.map(({ name, destinations, except, exit, optIn }) => ({
      ...{ name, destinations, exit },
      ...(except && { except }),
      ...(optIn && { optIn }),
    }));
    return { policies: parts, told: warnings.filter(({ pointer }) => pointer === '/spec/excludedCIDRs') };
  };

  test('around longer destinations become a policy with the exit node', () => {
    assert.deepEqual(policiesOf(gatewayPolicy('p', hole)), {
      policies: [
        { name: 'p', destinations: ['0.0.0.0/0', '10.1.0.0/16'], exit: 'p' },
        { name: 'p-except', destinations: ['10.0.0.0/8'], exit: 'node' },
      ],
      told: [],
    });
  });

  test('around longer destinations are worked out where only some pods ask for the policy', () => {
    const { policies } = policiesOf(gatewayPolicy('p', { ...hole, ...selected, excludedCIDRs: ['10.0.0.0/15'] }));
    const destinations = ['0.0.0.0/0', '10.1.0.0/16'];
    assert.deepEqual(policies, [{ name: 'p', destinations, except: ['10.0.0.0/16'], exit: 'p', optIn: true }]);
  });

  const reaching = { destinationCIDRs: ['0.0.0.0/0'], excludedCIDRs: ['10.1.0.0/16'] };
  const reached = gatewayPolicy('b', { destinationCIDRs: ['10.0.0.0/8'], egressGateway: { egressIP: '192.0.2.11' } });

  test('reach into other policies of the same pods', () => {
    assert.deepEqual(policiesOf(gatewayPolicy('a', reaching), reached), {
      policies: [
        { name: 'a', destinations: ['0.0.0.0/0'], exit: 'a' },
        { name: 'a-except', destinations: ['10.1.0.0/16'], exit: 'node' },
        { name: 'b', destinations: ['10.0.0.0/8'], exit: 'b' },
      ],
      told: [],
    });
  });

  test('that reach so for some pods only hold for all of the namespaces, which is told', () => {
    const { policies, told } = policiesOf(gatewayPolicy('a', { ...reaching, ...selected }), reached);
    assert.deepEqual(policies?.slice(0, 2), [
      { name: 'a', destinations: ['0.0.0.0/0'], exit: 'a', optIn: true },
      { name: 'a-except', destinations: ['10.1.0.0/16'], exit: 'node' },
    ]);
    assert.deepEqual(
      told.map(({ message }) => message),
      [
        'they hold for other policies of the same pods, too ("b"), and which pods these are is not known: policy "a-except" leaves them alone for all pods of the namespaces',
      ],
    );
  });

  test('stay in a policy that shares no pods with others', () => {
    const inNamespace = (name: string) => [
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } },
    ];
    const { policies } = policiesOf(
      gatewayPolicy('a', { ...reaching, selectors: inNamespace('a') }),
      gatewayPolicy('b', { destinationCIDRs: ['10.0.0.0/8'], selectors: inNamespace('b') }),
    );
    assert.deepEqual(policies, [
      { name: 'a', destinations: ['0.0.0.0/0'], except: ['10.1.0.0/16'], exit: 'a' },
      { name: 'b', destinations: ['10.0.0.0/8'], exit: 'a' },
    ]);
  });
});

describe('policies that leave alike', () => {
  test('share an exit, since an address is on one gateway at a time, and others have one each', () => {
    const leave = (nodes: string, egressIP: string) => ({
      egressGateway: { nodeSelector: { matchLabels: { nodes } }, egressIP },
    });
    const { document, warnings } = importedValues([
      gatewayPolicy('a', leave('x', '192.168.60.1')),
      gatewayPolicy('b', leave('x', '192.168.60.2')),
      gatewayPolicy('c', leave('x', '192.168.60.1')),
      gatewayPolicy('d', leave('y', '192.168.60.1')),
    ]);
    assert.deepEqual(
      document?.policies?.map(({ exit }) => exit),
      ['a', 'b', 'a', 'a'],
    );
    assert.deepEqual(
      document?.exits?.map(({ name }) => name),
      ['a', 'b'],
    );
    assert.deepEqual(
      warnings.flatMap(({ source, message }) => (source === 'result' ? [] : [[source.at(-1), message]])),
      [
        ['a', gatewaysOf('nodes=x')],
        ['d', gatewaysOf('nodes=y')],
        ['b', gatewaysOf('nodes=x')],
      ],
    );
  });
});

describe('a CiliumEgressNATPolicy', () => {
  test('for all pods of a namespace becomes an exit and a policy for all of them', () => {
    const { document, warnings } = imported(`
apiVersion: cilium.io/v2alpha1
kind: CiliumEgressNATPolicy
metadata:
  name: egress-all
spec:
  destinationCIDRs:
  - 172.18.0.0/16
  egress:
  - podSelector:
      matchLabels:
        io.kubernetes.pod.namespace: default
  egressSourceIP: 172.18.0.33
`);
    assert.deepEqual(document, {
      clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
      tunnel: { allowedSources: ['172.18.0.0/24'] },
      exits: [{ name: 'egress-all', gateways: ['172.18.0.3'], addresses: ['172.18.0.33'] }],
      policies: [{ name: 'egress-all', namespaces: ['default'], destinations: ['172.18.0.0/16'], exit: 'egress-all' }],
    });
    assert.deepEqual(warnings, [
      `k8s.yaml CiliumEgressNATPolicy egress-all#/spec/egressSourceIP: ${gatewaysOf('the node that has the address')}`,
    ]);
  });

  test('whose labels are not indented enough is for nobody, not for all', () => {
    const { document, warnings, errors } = imported(`
apiVersion: cilium.io/v2alpha1
kind: CiliumEgressNATPolicy
metadata:
  name: egress-sample
spec:
  egress:
    - podSelector:
      matchLabels:
        app: test-app
  destinationCIDRs:
    - 1.2.3.0/24
  egressSourceIP: 20.0.0.1
`);
    assert.deepEqual([document, errors], [undefined, ['result#: there is nothing to import']]);
    assert.deepEqual(warnings, [
      'k8s.yaml CiliumEgressNATPolicy egress-sample#/spec/egress/0/matchLabels: unknown key, expected one of "podSelector", "namespaceSelector"; it is left out',
      'k8s.yaml CiliumEgressNATPolicy egress-sample#/spec/egress/0: Cilium refuses a policy with a selector of neither pods nor namespaces: the policy is left out',
    ]);
  });
});
