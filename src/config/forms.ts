// Written by `npm run schema`.
import { parseAddress, parsePrefix } from '../base/address.ts';
import type { Form, ObjectForm } from '../base/form.ts';
import { parsePortRange } from '../base/port-range.ts';
import {
  familiesAgree,
  hasAddressesOfGateways,
  hasAddressesOfOthers,
  hasFlowsOrPorts,
  hasGatewaysOfAnnounce,
  hasGatewaysOfVrid,
  hasHopOfOnlink,
  hasInterfaceOfHop,
  hasPortsOfBlocks,
  isNotBuiltIn,
  isOneOfEach,
  isSet,
  isWithinLimit,
  leadsSomewhere,
} from './exit-rules.ts';
import { hasItsValues, isHighBitIfNumber, isOneHighBit, isUnicast, parseInterfaceName } from './rules.ts';

const form0: Form = { kind: 'text' };
const form1: Form = { kind: 'optional', of: form0 };
const form2: Form = { kind: 'truth' };
const form3: Form = { kind: 'optional', of: form2 };
const form6: Form = {
  kind: 'optional',
  of: { kind: 'either', of: [form2, { kind: 'object', members: { cilium: form3, kubeVip: form3 }, isStrict: true }] },
};
const form7: Form = { kind: 'text', checks: [{ parse: parsePrefix }] };
const form9: Form = { kind: 'optional', of: { kind: 'list', of: form7 } };
const form10: Form = { kind: 'text', checks: [{ parse: parseAddress }, { holds: isUnicast }] };
const form13: Form = {
  kind: 'optional',
  of: { kind: 'list', of: { kind: 'object', members: { address: form10, podCIDRs: form9 }, isStrict: true } },
};
const form17: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: { interval: { kind: 'optional', of: { kind: 'whole', first: 10, last: 40950 } }, preempt: form3 },
    isStrict: true,
  },
};
const form25: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: {
      vni: { kind: 'optional', of: { kind: 'whole', first: 1, last: 16777215 } },
      port: { kind: 'optional', of: { kind: 'whole', first: 1, last: 65535 } },
      replyPath: { kind: 'optional', of: { kind: 'one', of: ['direct', 'tunnel'] } },
      allowedSources: form9,
    },
    isStrict: true,
  },
};
const form29: Form = {
  kind: 'optional',
  of: {
    kind: 'either',
    of: [
      { kind: 'whole', first: -9007199254740991, last: 9007199254740991, checks: [{ holds: isOneHighBit }] },
      { kind: 'text', checks: [{ pattern: /^0x[0-9a-fA-F]{1,8}$/ }, { holds: isHighBitIfNumber }] },
    ],
  },
};
const form31: Form = { kind: 'optional', of: { kind: 'whole', first: 256, last: 4294950912 } };
const form33: Form = { kind: 'optional', of: { kind: 'whole', first: 1, last: 32760 } };
const form34: Form = { kind: 'text', checks: [{ pattern: /^[a-z0-9*?-]{1,63}$/ }] };
const form35: Form = { kind: 'list', of: form34, checks: [{ atLeast: 1 }] };
const form38: Form = {
  kind: 'optional',
  of: { kind: 'list', of: { kind: 'text', checks: [{ pattern: /^[a-z0-9.*?-]{1,253}$/ }] }, checks: [{ atLeast: 1 }] },
};
const form39: Form = { kind: 'list', of: form7, checks: [{ atLeast: 1 }] };
const form42: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: { kind: 'object', members: { namespaces: form35, pods: form38, addresses: form39 }, isStrict: true },
  },
};
const form52: Form = { kind: 'text', checks: [{ parse: parseInterfaceName }] };
const form71: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: {
      kind: 'object',
      members: {
        name: { kind: 'text', checks: [{ pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/ }, { holds: isNotBuiltIn }] },
        id: { kind: 'optional', of: { kind: 'whole', first: 1, last: 16382 } },
        gateways: { kind: 'optional', of: { kind: 'list', of: form10, checks: [{ atLeast: 1 }, { holds: isSet }] } },
        announce: { kind: 'optional', of: { kind: 'one', of: ['vrrp', 'elsewhere'] } },
        vrid: { kind: 'optional', of: { kind: 'whole', first: 1, last: 255 } },
        interface: { kind: 'optional', of: form52 },
        nextHop: {
          kind: 'optional',
          of: {
            kind: 'either',
            of: [form10, { kind: 'list', of: form10, checks: [{ atLeast: 1 }, { holds: isOneOfEach }] }],
          },
        },
        onlink: form3,
        addresses: {
          kind: 'optional',
          of: { kind: 'list', of: form10, checks: [{ atLeast: 1 }, { holds: isSet }, { holds: isWithinLimit }] },
        },
        addressesOn: { kind: 'optional', of: { kind: 'list', of: form52 } },
        addressPerFlow: form3,
        fastPath: form3,
        portsPerPod: { kind: 'optional', of: { kind: 'whole', first: 16, last: 32768 } },
        portBlocksPerNamespace: { kind: 'optional', of: { kind: 'whole', first: 1, last: 64512 } },
        annotationNamespaces: { kind: 'optional', of: { kind: 'list', of: form34 } },
        onUnavailable: { kind: 'optional', of: { kind: 'one', of: ['drop', 'node'] } },
      },
      isStrict: true,
      checks: [
        { holds: leadsSomewhere },
        { holds: hasInterfaceOfHop },
        { holds: hasHopOfOnlink },
        { holds: hasAddressesOfGateways },
        { holds: hasGatewaysOfAnnounce },
        { holds: hasGatewaysOfVrid },
        { holds: hasAddressesOfOthers },
        { holds: hasFlowsOrPorts },
        { holds: hasPortsOfBlocks },
        { holds: familiesAgree },
      ],
    },
  },
};
const form73: Form = {
  kind: 'text',
  checks: [{ pattern: /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/ }],
};
const form74: Form = { kind: 'text', checks: [{ pattern: /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/ }] };
const form84: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: {
      matchLabels: { kind: 'optional', of: { kind: 'map', keys: form73, values: form74 } },
      matchExpressions: {
        kind: 'optional',
        of: {
          kind: 'list',
          of: {
            kind: 'object',
            members: {
              key: form73,
              operator: { kind: 'one', of: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
              values: { kind: 'optional', of: { kind: 'list', of: form74 } },
            },
            isStrict: true,
            checks: [{ holds: hasItsValues }],
          },
        },
      },
    },
    isStrict: true,
  },
};
const form95: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: {
      kind: 'object',
      members: {
        name: { kind: 'text', checks: [{ pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/ }] },
        namespaces: form35,
        pods: form38,
        podSelector: form84,
        namespaceSelector: form84,
        destinations: { kind: 'optional', of: form39 },
        except: form9,
        ports: {
          kind: 'optional',
          of: { kind: 'list', of: { kind: 'text', checks: [{ parse: parsePortRange }] }, checks: [{ atLeast: 1 }] },
        },
        exit: form0,
        priority: { kind: 'optional', of: { kind: 'whole', first: -1000000, last: 1000000 } },
        optIn: form3,
        onChange: { kind: 'optional', of: { kind: 'one', of: ['keep', 'cut'] } },
      },
      isStrict: true,
    },
  },
};
const form96: Form = {
  kind: 'object',
  members: {
    $schema: form1,
    kubernetes: form6,
    clusterCIDRs: form9,
    nodes: form13,
    vrrp: form17,
    tunnel: form25,
    fwmark: form29,
    routeTable: form31,
    rulePriority: form33,
    checkSources: form3,
    extraSources: form42,
    exits: form71,
    policies: form95,
  },
  isStrict: true,
};
const form98: Form = { kind: 'list', of: form0 };
const form104: Form = { kind: 'optional', of: { kind: 'anything' } };
const form106: Form = { kind: 'optional', of: { kind: 'text', checks: [{ pattern: /^\/\P{Cc}*$/u }] } };

/** Of `chainEntrySchema`. */
export const chainEntryForm: ObjectForm = {
  kind: 'object',
  members: {
    type: form0,
    name: form1,
    cniVersion: form1,
    capabilities: { kind: 'optional', of: { kind: 'map', keys: form0, values: form2 } },
    runtimeConfig: form104,
    args: form104,
    prevResult: form104,
    policyFile: form106,
    node: { kind: 'optional', of: form10 },
    dataDir: form106,
    draining: form3,
    logFile: form106,
    logLevel: {
      kind: 'optional',
      of: { kind: 'one', of: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] },
    },
    kubernetes: form6,
    clusterCIDRs: form9,
    nodes: form13,
    vrrp: form17,
    tunnel: form25,
    fwmark: form29,
    routeTable: form31,
    rulePriority: form33,
    checkSources: form3,
    extraSources: form42,
    exits: form71,
    policies: form95,
  },
  isStrict: true,
};

/** Of `policyDocumentSchema`. */
export const policyDocumentForm: Form = form96;

/** Of `keptSchema`. */
export const keptForm: Form = {
  kind: 'object',
  members: {
    version: { kind: 'one', of: [1] },
    refused: form98,
    tenants: { kind: 'optional', of: form98 },
    document: form96,
  },
};
