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
