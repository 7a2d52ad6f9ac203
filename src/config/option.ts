// Not 'zod': the full package loads far more, and every start of the plugin would pay for it.
import * as z from 'zod/mini';
import { everywhere } from '../policy/policy.ts';

/** The values of options that nobody gives. */
export const defaults = {
  policyFile: '/etc/cni/egress/policy.json',
  dataDir: '/var/lib/cni/egress',
  logLevel: 'info',
  fwmark: '0x40000000',
  routeTable: 500000,
  rulePriority: 700,
  vni: 14597,
  port: 4788,
  replyPath: 'direct',
  onUnavailable: 'drop',
  pods: ['*'],
  destinations: everywhere,
  priority: 0,
  optIn: false,
  onChange: 'keep',
  onlink: false,
  announce: 'vrrp',
  vrrpInterval: 100,
  preempt: false,
  addressPerFlow: false,
  draining: false,
  checkSources: true,
  kubernetes: false,
  annotationNamespaces: [],
} as const;

/** A key that must be there. Editors show the description, and the table in conf/README.md has it. */
export const required = <T extends z.ZodMiniType>(schema: T, description: string): T =>
  schema.check(z.describe(description));

/** A key that may be absent. `byDefault` is for people and editors; {@link defaults} are filled in later. */
export const optional = <T extends z.ZodMiniType>(schema: T, description: string, byDefault?: unknown) =>
  z.optional(schema).check(z.meta({ description, ...(byDefault !== undefined && { default: byDefault }) }));
