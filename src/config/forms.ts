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
const form4: Form = { kind: 'text', checks: [{ parse: parsePrefix }] };
const form6: Form = { kind: 'optional', of: { kind: 'list', of: form4 } };
const form7: Form = { kind: 'text', checks: [{ parse: parseAddress }, { holds: isUnicast }] };
const form10: Form = {
  kind: 'optional',
  of: { kind: 'list', of: { kind: 'object', members: { address: form7, podCIDRs: form6 }, isStrict: true } },
};
const form14: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: { interval: { kind: 'optional', of: { kind: 'whole', first: 10, last: 40950 } }, preempt: form3 },
    isStrict: true,
  },
};
const form22: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: {
      vni: { kind: 'optional', of: { kind: 'whole', first: 1, last: 16777215 } },
      port: { kind: 'optional', of: { kind: 'whole', first: 1, last: 65535 } },
      replyPath: { kind: 'optional', of: { kind: 'one', of: ['direct', 'tunnel'] } },
      allowedSources: form6,
    },
    isStrict: true,
  },
};
const form26: Form = {
  kind: 'optional',
  of: {
    kind: 'either',
    of: [
      { kind: 'whole', first: -9007199254740991, last: 9007199254740991, checks: [{ holds: isOneHighBit }] },
      { kind: 'text', checks: [{ pattern: /^0x[0-9a-fA-F]{1,8}$/ }, { holds: isHighBitIfNumber }] },
    ],
  },
};
const form28: Form = { kind: 'optional', of: { kind: 'whole', first: 256, last: 4294950912 } };
const form30: Form = { kind: 'optional', of: { kind: 'whole', first: 1, last: 32760 } };
const form31: Form = { kind: 'text', checks: [{ pattern: /^[a-z0-9*?-]{1,63}$/ }] };
const form32: Form = { kind: 'list', of: form31, checks: [{ atLeast: 1 }] };
const form35: Form = {
  kind: 'optional',
  of: { kind: 'list', of: { kind: 'text', checks: [{ pattern: /^[a-z0-9.*?-]{1,253}$/ }] }, checks: [{ atLeast: 1 }] },
};
const form36: Form = { kind: 'list', of: form4, checks: [{ atLeast: 1 }] };
const form39: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: { kind: 'object', members: { namespaces: form32, pods: form35, addresses: form36 }, isStrict: true },
  },
};
const form49: Form = { kind: 'text', checks: [{ parse: parseInterfaceName }] };
const form68: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: {
      kind: 'object',
      members: {
        name: { kind: 'text', checks: [{ pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/ }, { holds: isNotBuiltIn }] },
        id: { kind: 'optional', of: { kind: 'whole', first: 1, last: 16382 } },
        gateways: { kind: 'optional', of: { kind: 'list', of: form7, checks: [{ atLeast: 1 }, { holds: isSet }] } },
        announce: { kind: 'optional', of: { kind: 'one', of: ['vrrp', 'elsewhere'] } },
        vrid: { kind: 'optional', of: { kind: 'whole', first: 1, last: 255 } },
        interface: { kind: 'optional', of: form49 },
        nextHop: {
          kind: 'optional',
          of: {
            kind: 'either',
            of: [form7, { kind: 'list', of: form7, checks: [{ atLeast: 1 }, { holds: isOneOfEach }] }],
          },
        },
        onlink: form3,
        addresses: {
          kind: 'optional',
          of: { kind: 'list', of: form7, checks: [{ atLeast: 1 }, { holds: isSet }, { holds: isWithinLimit }] },
        },
        addressesOn: { kind: 'optional', of: { kind: 'list', of: form49 } },
        addressPerFlow: form3,
        portsPerPod: { kind: 'optional', of: { kind: 'whole', first: 16, last: 32768 } },
        portBlocksPerNamespace: { kind: 'optional', of: { kind: 'whole', first: 1, last: 64512 } },
        annotationNamespaces: { kind: 'optional', of: { kind: 'list', of: form31 } },
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
const form70: Form = {
  kind: 'text',
  checks: [{ pattern: /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/ }],
};
const form71: Form = { kind: 'text', checks: [{ pattern: /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/ }] };
const form81: Form = {
  kind: 'optional',
  of: {
    kind: 'object',
    members: {
      matchLabels: { kind: 'optional', of: { kind: 'map', keys: form70, values: form71 } },
      matchExpressions: {
        kind: 'optional',
        of: {
          kind: 'list',
          of: {
            kind: 'object',
            members: {
              key: form70,
              operator: { kind: 'one', of: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
              values: { kind: 'optional', of: { kind: 'list', of: form71 } },
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
const form92: Form = {
  kind: 'optional',
  of: {
    kind: 'list',
    of: {
      kind: 'object',
      members: {
        name: { kind: 'text', checks: [{ pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/ }] },
        namespaces: form32,
        pods: form35,
        podSelector: form81,
        namespaceSelector: form81,
        destinations: { kind: 'optional', of: form36 },
        except: form6,
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
const form93: Form = {
  kind: 'object',
  members: {
    $schema: form1,
    kubernetes: form3,
    clusterCIDRs: form6,
    nodes: form10,
    vrrp: form14,
    tunnel: form22,
    fwmark: form26,
    routeTable: form28,
    rulePriority: form30,
    checkSources: form3,
    extraSources: form39,
    exits: form68,
    policies: form92,
  },
  isStrict: true,
};
const form100: Form = { kind: 'optional', of: { kind: 'anything' } };
const form102: Form = { kind: 'optional', of: { kind: 'text', checks: [{ pattern: /^\/\P{Cc}*$/u }] } };

/** Of `chainEntrySchema`. */
export const chainEntryForm: ObjectForm = {
  kind: 'object',
  members: {
    type: form0,
    name: form1,
    cniVersion: form1,
    capabilities: { kind: 'optional', of: { kind: 'map', keys: form0, values: form2 } },
    runtimeConfig: form100,
    args: form100,
    prevResult: form100,
    policyFile: form102,
    node: { kind: 'optional', of: form7 },
    dataDir: form102,
    draining: form3,
    logFile: form102,
    logLevel: {
      kind: 'optional',
      of: { kind: 'one', of: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] },
    },
    kubernetes: form3,
    clusterCIDRs: form6,
    nodes: form10,
    vrrp: form14,
    tunnel: form22,
    fwmark: form26,
    routeTable: form28,
    rulePriority: form30,
    checkSources: form3,
    extraSources: form39,
    exits: form68,
    policies: form92,
  },
  isStrict: true,
};

/** Of `policyDocumentSchema`. */
export const policyDocumentForm: Form = form93;

/** Of `keptSchema`. */
export const keptForm: Form = {
  kind: 'object',
  members: { version: { kind: 'one', of: [1] }, refused: { kind: 'list', of: form0 }, document: form93 },
};
