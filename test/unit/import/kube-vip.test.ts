import assert from 'node:assert/strict';
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
      'kube-vip.io/egress-destination-ports': 'tcp:8080, UDP:5060,443',
      'kube-vip.io/egress-allowed-networks': '203.0.113.7/24,fd00::/8',
      'kube-vip.io/egress-denied-networks': '203.0.113.64/26',
      'kube-vip.io/egress-internal': 'true',
    });
    assert.deepEqual(policy, {
      name: 'shop.web',
      namespaces: ['shop'],
      destinations: ['203.0.113.0/24'],
      except: ['203.0.113.64/26'],
      ports: ['tcp:8080', 'udp:5060', 'tcp:443'],
      exit: 'shop.web',
      optIn: true,
    });
    assert.deepEqual(warnings.slice(1), [
      '/metadata/annotations/kube-vip.io~1egress-allowed-networks: kube-vip steers IPv4 of this Service only: fd00::/8 left out',
    ]);
  });

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

  const mistakes: readonly (readonly [annotation: string, value: string, error: RegExp])[] = [
    [
      'egress-destination-ports',
      'tcp:http',
      /^\/metadata\/annotations\/kube-vip\.io~1egress-destination-ports: expected "tcp", .*, got "tcp:http"$/,
    ],
    [
      'egress-denied-networks',
      '10.0.0.0/33',
      /egress-denied-networks: expected an IP address range .*, got "10\.0\.0\.0\/33"$/,
    ],
    [
      'egress-allowed-networks',
      'fd00::/8',
      /egress-allowed-networks: kube-vip steers IPv4 of this Service only: fd00::\/8 left out$/,
    ],
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
