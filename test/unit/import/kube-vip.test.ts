import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { asked, imported, importedValues, nothing } from './samples.ts';

/** A second network behind `eth1`, and SIP only. */
const sip = `
apiVersion: v1
kind: Service
metadata:
  name: sip
  namespace: phone
  annotations:
    kube-vip.io/egress: "true"
    kube-vip.io/egress-destination-ports: udp:5060
    kube-vip.io/serviceInterface: eth1
    kube-vip.io/loadbalancerIPs: 192.168.0.245
    kube-vip.io/vipHost: worker
    kube-vip.io/active-endpoint: 10.0.0.1
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector:
    app: sip
  ports:
  - port: 5060
    protocol: UDP
`;

const at = 'k8s.yaml Service phone/sip';

const service = (annotations: object, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop', annotations: { 'kube-vip.io/egress': 'true', ...annotations } },
  spec: { selector: { app: 'web' }, loadBalancerIP: '192.168.0.245' },
  ...more,
});

const policyOf = (annotations: object) => {
  const { document, warnings, errors } = importedValues([service(annotations)]);
  const said = (problems: typeof warnings) => problems.map(({ pointer, message }) => `${pointer}: ${message}`);
  return { policy: document?.policies?.[0], errors: said(errors), warnings: said(warnings) };
};

/** Ports, first addresses of destinations, and whether there are exceptions, of what kube-vip was seen to steer. */
function whatIs(steered: string): [ports: string, destinations: string, hasExceptions: boolean] {
  const rules = steered
    .split('; ')
    .map((rule) => /^(all ports|(\w+) ([\d, ]+?))(?: to ([\d.]+)-\S+)?(?: except .*)?$/.exec(rule));
  const ports = rules.flatMap((rule) => rule?.[3]?.split(', ').map((port) => `${rule[2]}:${port}`) ?? []);
  const everywhere = rules.some((rule) => rule?.[4] === undefined);
  return [
    ports.length === 0
      ? 'all'
      : ports
          .filter((port) => !port.endsWith(':0'))
          .sort()
          .join(),
    everywhere ? '0.0.0.0' : [...new Set(rules.map((rule) => rule?.[4]))].join(),
    steered.includes(' except '),
  ];
}

describe('a Service that kube-vip gives its pods’ packets the address of', () => {
  test('leaves from the pod’s node by its interface, and pods ask for the policy', () => {
    const { document, warnings, errors } = imported(sip, { ...nothing, nextHops: ['192.168.0.1'] });
    assert.deepEqual(document, {
      exits: [{ name: 'phone.sip', interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] }],
      policies: [
        {
          name: 'phone.sip',
          namespaces: ['phone'],
          destinations: ['0.0.0.0/0'],
          ports: ['udp:5060'],
          exit: 'phone.sip',
          optIn: true,
        },
      ],
    });
    assert.deepEqual(warnings, [
      `${at}#/spec/selector: labels of pods (app=sip) have no counterpart, since a CNI plugin is not told them: policy "phone.sip" is only for pods that ask for it by the annotation egress.cni/policy ("optIn"); "pods" can tell them by name instead`,
      `${at}#/metadata/annotations/kube-vip.io~1loadbalancerIPs: only pods of the node that has the address can leave with it: with --gateway, those of all nodes leave by a gateway`,
      'result#/clusterCIDRs: missing: packets to pods and services are steered, too, where destinations hold them; give their ranges with --cluster-cidr',
    ]);
    assert.deepEqual(errors, []);
  });

  test('leaves by a gateway when one is given', () => {
    const { document, warnings } = imported(sip, { ...asked, nextHops: ['192.168.0.1'] });
    assert.deepEqual(document?.exits, [
      {
        name: 'phone.sip',
        gateways: ['172.18.0.3'],
        interface: 'eth1',
        nextHop: '192.168.0.1',
        addresses: ['192.168.0.245'],
      },
    ]);
    assert.equal(warnings.length, 1);
  });

  test('without interface and gateway names what is missing', () => {
    const { document, errors } = importedValues([service({})], nothing);
    assert.deepEqual(
      [document, ...errors.map(({ message }) => message)],
      [
        undefined,
        'the interface that pods leave by is not known: give it with --interface, or gateways to leave from with --gateway',
      ],
    );
    const { exits } = importedValues([service({})], { ...nothing, interface: 'eth1' }).document ?? {};
    assert.deepEqual(exits, [{ name: 'shop.web', interface: 'eth1', addresses: ['192.168.0.245'] }]);
  });

  test('has its networks and ports as kube-vip reads them', () => {
    const { policy, warnings } = policyOf({
      'kube-vip.io/egress-destination-ports': 'tcp:8080, udp:53,UDP:5060,443,tcp:+80,tcp:8000-8080,udp:05061',
      'kube-vip.io/egress-allowed-networks': '203.0.113.7/24',
      'kube-vip.io/egress-denied-networks': '203.0.113.64/26',
      'kube-vip.io/egress-internal': 'true',
    });
    assert.deepEqual(policy, {
      name: 'shop.web',
      namespaces: ['shop'],
      destinations: ['203.0.113.0/24'],
      except: ['203.0.113.64/26'],
      ports: ['tcp:8080', 'tcp:80', 'udp:5061'],
      exit: 'shop.web',
      optIn: true,
    });
    const ignores = (entry: string, meant: string) =>
      `kube-vip ignores "${entry}", which is not "protocol:port" as it reads that; "${meant}" in "ports" of the policy is what it seems to mean`;
    assert.deepEqual(
      warnings
        .slice(1)
        .map((each) => each.replace('/metadata/annotations/kube-vip.io~1egress-destination-ports: ', '')),
      [
        ignores(' udp:53', 'udp:53'),
        ignores('UDP:5060', 'udp:5060'),
        ignores('443', 'tcp:443'),
        'kube-vip reads "tcp:+80" as tcp:80',
        ignores('tcp:8000-8080', 'tcp:8000-8080'),
        'kube-vip reads "udp:05061" as udp:5061',
      ],
    );
  });

  test('with ports of which kube-vip understands none steers all, as kube-vip does, which is told', () => {
    const { policy, warnings } = policyOf({ 'kube-vip.io/egress-destination-ports': 'tcp:http' });
    assert.deepEqual([policy?.ports, policy?.destinations], [undefined, ['0.0.0.0/0']]);
    assert.deepEqual(warnings.slice(1), [
      '/metadata/annotations/kube-vip.io~1egress-destination-ports: kube-vip ignores "tcp:http", which is not "protocol:port" as it reads that, and steers all ports, since it understands no other: so does the policy',
    ]);
  });

  const rows = readFileSync(new URL('kube-vip-annotations.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replaceAll('\\n', '\n').split(' | '));
  for (const [ports = '', denied = '', allowed = '', steered = ''] of rows) {
    test(`with ports ${JSON.stringify(ports)}, denied ${JSON.stringify(denied)} and allowed ${JSON.stringify(allowed)} steers what kube-vip steers`, () => {
      const { policy } = policyOf({
        ...(ports && { 'kube-vip.io/egress-destination-ports': ports }),
        ...(denied && { 'kube-vip.io/egress-denied-networks': denied }),
        ...(allowed && { 'kube-vip.io/egress-allowed-networks': allowed }),
      });
      // Nobody sends to port 0.
      const isNothing = steered === 'no rule' || steered === 'tcp 0';
      const parts = policy && [
        policy.ports?.toSorted().join() ?? 'all',
        policy.destinations?.map((range) => range.replace(/\/.*/, '')).join(),
        policy.except !== undefined,
      ];
      const expected = isNothing ? undefined : whatIs(steered);
      // With all three it was seen to steer more than the allowed networks: the policy does not.
      if (expected && ports && denied && allowed && !steered.includes(' to ')) expected[1] = '10.0.0.0';
      assert.deepEqual(parts, expected);
    });
  }

  test('tells of annotations about egress that have no counterpart', () => {
    const { warnings } = policyOf({
      'kube-vip.io/egress-source-ports': 'tcp:80',
      'kube-vip.io/egress-colour': 'red',
      'kube-vip.io/egress-nftables-table': 'kube_vip_v4',
      'kube-vip.io/serviceVLAN': '200',
      'kube-vip.io/rp_filter': '0',
    });
    assert.deepEqual(warnings.slice(1), [
      '/metadata/annotations/kube-vip.io~1serviceVLAN: interfaces of VLANs are not made: make it on each node, and name it with --interface',
      '/metadata/annotations/kube-vip.io~1egress-source-ports: policies do not look at source ports: it is left out',
      '/metadata/annotations/kube-vip.io~1egress-colour: an unknown annotation: it is left out',
    ]);
  });

  const idle: readonly (readonly [annotation: string, value: string, message: RegExp])[] = [
    [
      'denied-networks',
      '10.0.0.0/33',
      /^kube-vip makes no rule with "10\.0\.0\.0\/33", which is no IPv4 range like .*: the Service is left out$/,
    ],
    ['denied-networks', '10.0.0.1', /^kube-vip makes no rule with "10\.0\.0\.1"/],
    ['allowed-networks', 'fd00::/8', /^kube-vip makes no rule with "fd00::\/8"/],
    ['allowed-networks', '10.0.0.0/8, 10.0.0.0/9', /^kube-vip makes no rule with " 10\.0\.0\.0\/9"/],
    ['destination-ports', 'tcp:0', /^kube-vip steers port 0 alone/],
  ];
  for (const [annotation, value, message] of idle) {
    test(`with ${annotation}: ${value} is left out, since kube-vip steers nothing`, () => {
      const { policy, warnings } = policyOf({ [`kube-vip.io/egress-${annotation}`]: value });
      assert.equal(policy, undefined);
      const [pointer, said = ''] = warnings[0]?.split(/: (.*)/) ?? [];
      assert.equal(pointer, `/metadata/annotations/kube-vip.io~1egress-${annotation}`);
      assert.match(said, message);
    });
  }

  const mistakes: readonly (readonly [annotation: string, value: string, error: RegExp])[] = [
    ['loadbalancerIPs', '192.168.0', /loadbalancerIPs: expected an IP address, got "192\.168\.0"$/],
    [
      'loadbalancerIPs',
      'fd00::1',
      /loadbalancerIPs: expected an IPv4 address, got fd00::1: kube-vip steers IPv6 with kube-vip\.io\/egress-ipv6: "true", else IPv4$/,
    ],
    ['serviceInterface', 'a b', /serviceInterface: expected an interface name .*, got "a b"$/],
  ];
  for (const [annotation, value, error] of mistakes) {
    test(`with ${annotation}: ${value} is refused`, () => {
      const { policy, errors } = policyOf({ [`kube-vip.io/${annotation}`]: value });
      assert.equal(policy, undefined);
      assert.match(errors[0] ?? '', error);
    });
  }

  test('with IPv6 has addresses and destinations of that family', () => {
    const annotations = {
      'kube-vip.io/egress-ipv6': 'true',
      'kube-vip.io/loadbalancerIPs': '192.168.0.245, fd00:0::245',
    };
    const { document } = importedValues([service(annotations)]);
    assert.deepEqual(document?.exits?.[0]?.addresses, ['fd00::245']);
    assert.deepEqual(document?.policies?.[0]?.destinations, ['::/0']);
  });

  test('with an address by DHCP has the one that it was given', () => {
    const status = { loadBalancer: { ingress: [{ ip: '192.168.0.7' }, { hostname: 'web.example' }] } };
    const { document } = importedValues([service({}, { spec: { loadBalancerIP: '0.0.0.0' }, status })]);
    assert.deepEqual(document?.exits?.[0]?.addresses, ['192.168.0.7']);
  });

  test('without any address names what is missing', () => {
    const { errors } = importedValues([service({}, { spec: {} })]);
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['the addresses that pods leave with are not known: give them with --address'],
    );
  });

  test('without namespace is taken to be in default, which is told', () => {
    const { document, warnings } = importedValues([
      service({}, { metadata: { name: 'web', annotations: { 'kube-vip.io/egress': 'true' } } }),
    ]);
    assert.deepEqual(document?.policies?.[0]?.namespaces, ['default']);
    assert.equal(warnings[0]?.message, 'missing: the namespace is taken to be "default"');
  });
});

test('a Service that asks kube-vip for nothing is skipped', () => {
  for (const annotations of [{ 'kube-vip.io/egress': 'false' }, { 'kube-vip.io/egress': null }]) {
    const { warnings, errors } = importedValues([service(annotations)]);
    assert.deepEqual(
      warnings.map(({ message }) => message),
      ['a Service without the annotation kube-vip.io/egress: "true": skipped'],
    );
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['there is nothing to import'],
    );
  }
});
