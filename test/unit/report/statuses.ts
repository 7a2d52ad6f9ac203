import type { StatusDocument } from '../../../src/report/status-schema.ts';

type ExitStatus = StatusDocument['exits'][number];
type PodStatus = StatusDocument['pods'][number];

const counter = (packets: number) => ({ packets, bytes: 100 * packets });

/** An exit of this node that works. */
export const partners: ExitStatus = {
  ...{ name: 'partners', id: 7, device: 'eth1', health: 'works' },
  ways: [{ family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', neighbour: 'reachable' }],
  ...{ steered: counter(1200), left: counter(1200), dropped: { packets: 0 }, rate: { packets: 12.5, bytes: 9400 } },
};

/** One that leaves from a gateway. */
export const internet: ExitStatus = {
  ...{ name: 'internet', id: 50, device: 'egress0', gateway: '172.18.0.3', health: 'works' },
  ways: [{ family: 4, addresses: ['192.0.2.50'] }],
  ...{ steered: counter(90), tunnelled: counter(90), dropped: { packets: 0 }, rate: { packets: 3, bytes: 1500 } },
};

export const pod = (namespace: string, name: string, place: number, ...policies: PodStatus['policies']): PodStatus => ({
  ...{ network: 'pods', containerId: `${namespace}-${name}`, ifname: 'eth0', pod: { namespace, name } },
  ...{ addresses: [`10.0.0.${place}`], exits: [...new Set(policies.map(({ exit }) => exit))], policies },
  ...{ packets: 100, bytes: 10_000, rate: { packets: 2, bytes: 200 } },
});

const to = (exit: string, name = exit) => ({ name, exit });

/** One pod, of one policy. */
export const small: StatusDocument = {
  node: 'node-1',
  exits: [partners],
  pods: [pod('default', 'web-0', 2, to('partners', 'web'))],
};

/** A node without any pod that a policy is for. */
export const empty: StatusDocument = { node: 'node-1', exits: [], pods: [] };

/** 40 pods in 6 namespaces, four exits, one of which fails. */
export const busy: StatusDocument = {
  node: 'node-1',
  exits: [
    partners,
    internet,
    {
      ...{ name: 'backup', id: 300, device: 'eth2', health: 'fails', ways: [{ family: 4, addresses: ['172.19.0.5'] }] },
      why: ['interface eth2 is down', '172.19.0.5 is not an address of this node'],
    },
  ],
  pods: Array.from({ length: 40 }, (_, i) => {
    const policies = [
      [to('partners', 'payments')],
      [to('internet', 'everywhere')],
      [to('partners', 'payments'), to('drop', 'no-mail'), to('internet', 'everywhere')],
      [to('backup', 'nightly')],
      [to('node', 'registry'), to('internet', 'everywhere')],
      [to('drop', 'no-mail')],
    ][i % 6];
    return pod(`team-${'abcdef'[i % 6]}`, `app-7d4b9c6f5d-x${i}`, i + 2, ...(policies ?? []));
  }),
};

const gatewaySide: ExitStatus = {
  ...{ name: 'internet', id: 50, device: 'eth0', health: 'works', served: counter(500) },
  ways: [{ family: 4, addresses: ['192.0.2.50'], via: '172.18.0.1', neighbour: 'reachable' }],
  ...{ steered: counter(520), left: counter(520), dropped: { packets: 0 }, rate: { packets: 40, bytes: 60_000 } },
};

const tunnel = (local: string) => ({ vni: 14597, port: 4788, local, mtu: 1450 });

/** Two workers and two gateways, of which the second is ready. */
export const cluster: readonly StatusDocument[] = [
  {
    ...{ node: 'worker-1', exits: [internet, partners], tunnel: tunnel('172.18.0.5') },
    pods: [
      pod('web', 'front-0', 2, to('internet', 'everywhere')),
      pod('pay', 'bank-0', 3, to('partners', 'payments'), to('internet', 'everywhere')),
    ],
  },
  {
    ...{ node: 'worker-2', exits: [internet, { ...partners, health: 'fails', why: ['interface eth1 is down'] }] },
    tunnel: tunnel('172.18.0.6'),
    pods: [pod('web', 'front-1', 4, to('internet', 'everywhere')), pod('pay', 'bank-1', 5, to('partners', 'payments'))],
  },
  { node: 'gateway-1', exits: [gatewaySide], pods: [], tunnel: tunnel('172.18.0.3') },
  {
    ...{ node: 'gateway-2', pods: [], tunnel: tunnel('172.18.0.4') },
    exits: [
      { ...gatewaySide, health: 'standby', served: counter(0), steered: counter(0), rate: { packets: 0, bytes: 0 } },
    ],
  },
];

const long = 'a-very-long-name-that-somebody-gave-to-it-since-names-are-free';

/** Names as long as they may be, and names that SVG, HTML and Mermaid would take for something else. */
export const hostile: StatusDocument = {
  node: '"]; click b0 "javascript:alert(1)"',
  exits: [
    { ...partners, name: long },
    { ...partners, name: '</text><script>alert(1)</script>', id: 8 },
  ],
  pods: [
    pod(long, `${long}-7d4b9c6f5d-x2k9p`, 2, to(long, long)),
    pod(
      '&amp; \'quoted\' "twice"',
      '`md` #35; --> b9',
      3,
      to('</text><script>alert(1)</script>', 'a\u0000b\ud800\x1b[2J'),
    ),
  ],
};
