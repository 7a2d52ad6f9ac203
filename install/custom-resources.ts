/**
 * The kinds that a cluster gets: `EgressExit`, `EgressPolicy` and `NamespacedEgressPolicy`, made from the schema of the policy file. An API server takes
 * structural schemas only; what JSON Schema says in other words stands there as conditions in CEL, with the words that
 * `egress validate` has for the same mistake.
 */
import { stringify } from 'yaml';
import * as z from 'zod/mini';
import { policyDocumentSchema } from '../src/config/schema.ts';
import { labelSelector } from '../src/config/selector-schema.ts';
import { address, interfaceName, portRange, prefix } from '../src/config/value.ts';
import { group, version } from '../src/kubernetes/kinds.ts';
import { notTenants } from '../src/kubernetes/tenants.ts';
import { exitStatus, policyStatus } from './custom-resource-parts.ts';

/** A part of a structural schema. */
export interface Schema {
  type?: string;
  description?: string;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
  [other: string]: unknown;
}

/** A condition in CEL, and what is told where it does not hold. */
interface Rule {
  readonly rule: string;
  readonly message: string;
  readonly messageExpression?: string;
}

/** Texts that the program parses, with what they must be: in CEL, and in words. `longest` in characters. */
const parsedTexts = new Map<z.core.$ZodType, { readonly rule: string; readonly expected: string; longest: number }>([
  [address, { rule: 'isIP(self)', expected: 'an IP address', longest: 45 }],
  [prefix, { rule: 'isCIDR(self) || isIP(self)', expected: 'an IP address range like "10.0.0.0/8"', longest: 49 }],
]);

/** Texts whose grammar a pattern can say, but for the order of numbers. */
const patterns = new Map<z.core.$ZodType, string>([
  [portRange, '^((tcp|udp|sctp)(:[0-9]{1,5}(-[0-9]{1,5})?)?|icmp)$'],
  [interfaceName, '^[^\\s/:]{1,15}$'],
]);

/** Most items of a list: an API server wants to know what conditions cost at most, and an object has 1.5 MiB. */
const mostItems = { ranges: 2000, others: 256 };

const literal = (text: string): string => `'${text.replaceAll("'", "\\'")}'`;

/** What a text of the program's own kinds must be. */
function ofText(schema: z.core.$ZodType): Partial<Schema> {
  const parsed = parsedTexts.get(schema);
  if (parsed === undefined) return patterns.has(schema) ? { pattern: patterns.get(schema) } : {};
  const { rule, expected, longest } = parsed;
  const messageExpression = `${literal(`expected ${expected}, got "`)} + self + '"'`;
  const rules: readonly Rule[] = [{ rule, message: `expected ${expected}`, messageExpression }];
  return { maxLength: longest, 'x-kubernetes-validations': rules };
}

/** The schema of an item of a list of the policy file, as JSON Schema, with what texts must be. */
function itemOf(list: 'exits' | 'policies'): Schema {
  const schema = z.toJSONSchema(policyDocumentSchema.shape[list], {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => void Object.assign(jsonSchema, ofText(zodSchema)),
  }) as Schema;
  if (schema.items === undefined) throw new Error(`"${list}" of the policy file is no list`);
  return schema.items;
}

/** Members of a schema that a structural one has no place for; conditions say what they say. */
const notStructural = ['dependentRequired', 'propertyNames', 'uniqueItems', '$schema'];

/** A schema in structural form. */
function structural(schema: Schema): Schema {
  const { properties, items, uniqueItems } = schema;
  const isPlaced = ([key, value]: [string, unknown]) =>
    !(notStructural.includes(key) || (key === 'additionalProperties' && value === false));
  const rest = Object.fromEntries(Object.entries(schema).filter(isPlaced));
  if (schema.anyOf !== undefined && schema.type === undefined) return severalForms(rest);
  const { anyOf: _, ...plain } = rest;
  return {
    ...plain,
    ...(items && { items: structural(items), maxItems: schema.maxItems ?? mostOf(items) }),
    ...(uniqueItems === true && { 'x-kubernetes-list-type': 'set' }),
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, member]) => [key, structural(member)])),
    }),
  };
}

const mostOf = ({ maxLength }: Schema): number => (maxLength === 49 ? mostItems.ranges : mostItems.others);

/** One text or a list of them: only the agent can judge it. */
const severalForms = ({ anyOf: _, ...rest }: Schema): Schema => ({
  ...rest,
  'x-kubernetes-preserve-unknown-fields': true,
});

/** What must be there with what, in the words of the schema of exits; of `nextHop`, which has several forms, CEL sees nothing. */
const exitRules: readonly Rule[] = [
  {
    rule: 'has(self.interface) || has(self.gateways) || has(self.gatewaySelector)',
    message:
      'expected "interface" (leave from the pod’s node), "gateways" or "gatewaySelector" (leave from a gateway), or both',
  },
  {
    rule: '!(has(self.gateways) && has(self.gatewaySelector))',
    message: 'expected either "gateways" or "gatewaySelector", got both',
  },
  {
    rule: '!(has(self.gateways) || has(self.gatewaySelector)) || has(self.addresses)',
    message: 'expected the addresses that pods are seen with, whichever of the "gateways" they leave by',
  },
  {
    rule: `!has(self.announce) || self.announce != 'elsewhere' || has(self.gateways) || has(self.gatewaySelector)`,
    message: 'expected the gateways of which one is given the addresses',
  },
  {
    rule: '!has(self.vrid) || has(self.gateways) || has(self.gatewaySelector)',
    message: 'expected the gateways that "vrid" is the number of',
  },
  {
    rule: '!has(self.addressesOn) || size(self.addressesOn) == 0 || has(self.addresses)',
    message: 'expected the addresses that interfaces of "addressesOn" hold',
  },
  {
    rule: '!has(self.addressPerFlow) || !self.addressPerFlow || !has(self.portsPerPod)',
    message: 'expected no "portsPerPod" beside "addressPerFlow": a block of ports belongs to one pod on one address',
  },
  {
    rule: '!has(self.fastPath) || !self.fastPath || !(has(self.gateways) || has(self.gatewaySelector))',
    message: 'expected no "fastPath" beside "gateways": only what leaves from the pod’s own node has a fast path yet',
  },
  {
    rule: '!has(self.portBlocksPerNamespace) || has(self.portsPerPod)',
    message: 'expected how many ports the blocks have that "portBlocksPerNamespace" counts',
  },
];

/** The name of an object is the name of what it is. */
const nameRule: Rule = {
  rule: 'size(self.metadata.name) <= 63',
  message: 'expected a name of at most 63 letters, digits, ".", "_" and "-" that begins with a letter or digit',
};

const exitNameRule: Rule = {
  rule: `!(self.metadata.name in ['node', 'drop'])`,
  message: 'expected another name than those of the built-in exits "node" and "drop"',
};

/** Members of an exit that are there in a cluster only. */
const exitMembers: Readonly<Record<string, Schema>> = {
  gatewaySelector: {
    ...(z.toJSONSchema(labelSelector, { io: 'input' }) as Schema),
    description:
      'In the place of `gateways`: the nodes with these labels, in the order of their names, each by its first InternalIP.',
  },
};

/** The specification of an object: an item of the policy file without its name, and with more. */
function specOf(
  list: 'exits' | 'policies',
  more: Readonly<Record<string, Schema>>,
  rules: readonly Rule[],
  without: readonly string[] = ['name'],
): Schema {
  const { properties = {}, required = [], ...item } = itemOf(list);
  const own = Object.fromEntries(Object.entries(properties).filter(([key]) => !without.includes(key)));
  const needed = required.filter((key) => !without.includes(key));
  return structural({
    ...item,
    description:
      list === 'exits' ? 'A way out of the cluster.' : 'Which pods, towards which destinations, use which exit.',
    properties: { ...more, ...own },
    ...(needed.length > 0 && { required: needed }),
    ...(rules.length > 0 && { 'x-kubernetes-validations': rules }),
  });
}

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  /** 1: with `-o wide` only. */
  readonly priority?: number;
}

const condition = (type: string) => `.status.conditions[?(@.type=="${type}")].status`;

const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly description: string;
  readonly spec: Schema;
  readonly status: Schema;
  readonly columns: readonly Column[];
  readonly rules: readonly Rule[];
  readonly scope?: 'Namespaced' | 'Cluster';
}

function definitionOf({ kind, plural, shortName, description, spec, status, columns, rules, scope = 'Cluster' }: Kind) {
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      description,
      required: ['spec'],
      properties: {
        apiVersion: { type: 'string', description: `${group}/${version}` },
        kind: { type: 'string', description: kind },
        metadata: { type: 'object' },
        spec,
        status,
      },
      'x-kubernetes-validations': rules,
    },
  };
  const versions = [
    {
      name: version,
      served: true,
      storage: true,
      schema,
      subresources: { status: {} },
      additionalPrinterColumns: columns,
    },
  ];
  const names = { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames: [shortName] };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: { group, names: { ...names, categories: ['egress'] }, scope, versions },
  };
}

const exits = (): Kind => ({
  kind: 'EgressExit',
  plural: 'egressexits',
  shortName: 'eexit',
  description: 'A way out of the cluster for the pods that an EgressPolicy names. Its name is what policies call it.',
  spec: specOf('exits', exitMembers, exitRules),
  status: exitStatus,
  columns: [
    { name: 'Addresses', type: 'string', jsonPath: '.spec.addresses' },
    { name: 'Holder', type: 'string', jsonPath: '.status.holder' },
    { name: 'Gateways', type: 'string', jsonPath: '.status.answering' },
    { name: 'Pods', type: 'integer', jsonPath: '.status.pods' },
    { name: 'Accepted', type: 'string', jsonPath: condition('Accepted') },
    { name: 'Ready', type: 'string', jsonPath: condition('Ready') },
    { name: 'Message', type: 'string', jsonPath: '.status.conditions[?(@.status=="False")].message', priority: 1 },
    age,
  ],
  rules: [nameRule, exitNameRule],
});

/** What `kubectl get` shows of policies of either kind, behind their destinations. */
const policyColumns = [
  { name: 'Exit', type: 'string', jsonPath: '.spec.exit' },
  { name: 'Pods', type: 'integer', jsonPath: '.status.pods' },
  { name: 'Accepted', type: 'string', jsonPath: condition('Accepted') },
  { name: 'Message', type: 'string', jsonPath: '.status.conditions[?(@.status=="False")].message', priority: 1 },
  age,
] as const;

const policies = (): Kind => ({
  kind: 'EgressPolicy',
  plural: 'egresspolicies',
  shortName: 'epol',
  description: 'Which pods, towards which destinations, leave the cluster by which exit.',
  spec: specOf('policies', {}, []),
  status: policyStatus,
  columns: [
    { name: 'Namespaces', type: 'string', jsonPath: '.spec.namespaces' },
    { name: 'Destinations', type: 'string', jsonPath: '.spec.destinations', priority: 1 },
    ...policyColumns,
  ],
  rules: [nameRule],
});

const tenants = (): Kind => ({
  kind: 'NamespacedEgressPolicy',
  plural: 'namespacedegresspolicies',
  shortName: 'nepol',
  description:
    'Which pods of its own namespace leave the cluster by which exit: one whose `annotationNamespaces` fit the namespace, or `drop`. It decides behind every policy of the cluster with a priority above 0 and behind every `drop`, and before all others.',
  spec: specOf('policies', {}, [], notTenants),
  status: policyStatus,
  columns: [{ name: 'Destinations', type: 'string', jsonPath: '.spec.destinations' }, ...policyColumns],
  rules: [nameRule],
  scope: 'Namespaced',
});

const head = '# Written by `npm run schema`, from the schema of the policy file.\n';

/** All definitions as one YAML text. They need Kubernetes 1.31 or newer, whose CEL knows addresses. */
export const customResourceDefinitions = (): string =>
  head +
  [exits(), policies(), tenants()]
    .map((kind) => stringify(definitionOf(kind), { lineWidth: 0, aliasDuplicateObjects: false }))
    .join('---\n');
