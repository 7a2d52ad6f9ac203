// Written by `npm run schema`.
import type { Form } from '../base/form.ts';

const form0: Form = { kind: 'one', of: [2] };
const form1: Form = { kind: 'text', checks: [{ atLeast: 1 }] };
const form2: Form = { kind: 'text' };
const form3: Form = { kind: 'optional', of: form2 };
const form4: Form = { kind: 'map', keys: form2, values: form2 };
const form9: Form = { kind: 'text', checks: [{ pattern: /^(\d+\.\d+\.\d+\.\d+|[\da-f]*:[\da-f:.]+)$/ }] };
const form10: Form = { kind: 'list', of: form9 };
const form11: Form = { kind: 'text', checks: [{ pattern: /^(\d+\.\d+\.\d+\.\d+|[\da-f]*:[\da-f:.]+)\/\d+$/ }] };
const form12: Form = { kind: 'list', of: form11 };
const form16: Form = { kind: 'optional', of: form12 };
const form17: Form = { kind: 'text', checks: [{ pattern: /^program-[\da-f]+$/ }] };
const form18: Form = { kind: 'one', of: [4, 6] };
const form20: Form = { kind: 'list', of: form1, checks: [{ atLeast: 1 }] };
const form25: Form = {
  kind: 'list',
  of: {
    kind: 'object',
    members: {
      policy: form1,
      family: form18,
      destinations: { kind: 'list', of: form11, checks: [{ atLeast: 1 }] },
      except: form12,
      ports: { kind: 'optional', of: form20 },
      exit: form1,
      onChange: { kind: 'optional', of: { kind: 'one', of: ['cut'] } },
    },
  },
};
const form29: Form = { kind: 'optional', of: { kind: 'one', of: [true] } };
const form30: Form = { kind: 'whole', first: 1, last: 65535 };
const form36: Form = { kind: 'whole', first: 0, last: 4294967295 };
const form38: Form = { kind: 'optional', of: form9 };
const form41: Form = { kind: 'list', of: form2 };
const form59: Form = { kind: 'list', of: { kind: 'object', members: { device: form1, address: form9 } } };
const form67: Form = { kind: 'truth' };

/** Of `recordSchemas`. */
export const recordForms = {
  attachment: {
    kind: 'object',
    members: {
      version: form0,
      network: form1,
      containerId: form1,
      ifname: form1,
      pod: {
        kind: 'object',
        members: {
          namespace: form3,
          name: form3,
          uid: form3,
          annotations: { kind: 'optional', of: form4 },
          labels: { kind: 'optional', of: { kind: 'object', members: { pod: form4, namespace: form4 } } },
        },
      },
      addresses: form10,
      subnets: form12,
      links: {
        kind: 'list',
        of: {
          kind: 'object',
          members: { name: form1, index: { kind: 'whole', first: -9007199254740991, last: 9007199254740991 } },
        },
      },
      cluster: form16,
      program: form17,
      outline: form25,
      sources: { kind: 'optional', of: { kind: 'object', members: { devices: form20, others: form12 } } },
      holds: form29,
      ports: {
        kind: 'optional',
        of: {
          kind: 'list',
          of: { kind: 'object', members: { exit: form1, first: form30, last: form30 } },
          checks: [{ atLeast: 1 }],
        },
      },
    },
  },
  program: { kind: 'object', members: { version: form0, program: form17, matches: form25, cluster: form16 } },
  node: {
    kind: 'object',
    members: {
      version: form0,
      fwmark: form36,
      routeTable: form36,
      rulePriority: form36,
      inside: form16,
      spared: form16,
      unmarked: form29,
      clusterCIDRs: form16,
      exits: {
        kind: 'list',
        of: {
          kind: 'object',
          members: {
            name: form1,
            id: { kind: 'whole', first: 1, last: 16383 },
            device: form1,
            ways: {
              kind: 'list',
              of: {
                kind: 'object',
                members: { family: form18, addresses: form10, via: form38, onlink: form29, networks: form16 },
              },
            },
            gateway: form38,
            shared: form29,
            addressesOn: { kind: 'optional', of: form41 },
            addressPerFlow: form29,
            fastPath: form29,
            onUnavailable: { kind: 'optional', of: { kind: 'one', of: ['node'] } },
          },
        },
      },
      tunnel: {
        kind: 'optional',
        of: {
          kind: 'object',
          members: {
            vni: form36,
            port: form36,
            local: form9,
            mtu: form36,
            families: { kind: 'list', of: form18 },
            senders: form12,
            peers: form10,
          },
        },
      },
      gateway: {
        kind: 'optional',
        of: {
          kind: 'object',
          members: {
            served: { kind: 'list', of: form36 },
            owned: {
              kind: 'list',
              of: { kind: 'object', members: { device: form1, address: form9, shared: form29, elected: form29 } },
            },
            moving: { kind: 'optional', of: form10 },
            replies: { kind: 'list', of: { kind: 'object', members: { destination: form11, node: form9 } } },
          },
        },
      },
      sysctls: form4,
      addresses: form59,
      behind: { kind: 'optional', of: form59 },
      othersTables: { kind: 'optional', of: { kind: 'list', of: { kind: 'one', of: ['inet', 'netdev'] } } },
    },
  },
  moves: { kind: 'object', members: { version: form0, gateways: { kind: 'map', keys: form2, values: form9 } } },
  election: {
    kind: 'object',
    members: {
      version: form0,
      exits: {
        kind: 'map',
        keys: form2,
        values: {
          kind: 'object',
          members: {
            holds: form67,
            gateway: form9,
            by: { kind: 'one', of: ['vrrp', 'elsewhere'] },
            addresses: form10,
            since: form2,
            why: form3,
            notes: { kind: 'optional', of: { kind: 'list', of: form2, checks: [{ atLeast: 1 }] } },
          },
        },
      },
    },
  },
  agent: {
    kind: 'object',
    members: {
      version: form0,
      startedAt: form1,
      lookedAt: form1,
      mended: { kind: 'optional', of: { kind: 'object', members: { at: form1, what: form41 } } },
      failures: form41,
      gateways: {
        kind: 'optional',
        of: {
          kind: 'list',
          of: {
            kind: 'object',
            members: {
              exit: form1,
              gateway: form9,
              answers: form67,
              since: form1,
              moved: { kind: 'optional', of: { kind: 'object', members: { at: form1, from: form9 } } },
            },
          },
        },
      },
      fastPath: { kind: 'optional', of: { kind: 'object', members: { isOn: form67, why: form3 } } },
    },
  },
} satisfies Record<string, Form>;
