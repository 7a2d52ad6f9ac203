import type { Hook, InTable } from '../../nftables/object.ts';
import type { Values } from '../netlink/wire.ts';
import type { chainAttributes, hookAttributes } from './attributes.ts';

/** The hooks of the family inet by their numbers (enum nf_inet_hooks). */
const inetHooks = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
/** The hooks of the family netdev by their numbers (enum nf_dev_hooks). */
const deviceHooks = ['ingress', 'egress'] as const;

/** A hook as the kernel takes it. */
export const encodeHook = (hook: Hook): Values<typeof hookAttributes> =>
  'device' in hook
    ? { hook: deviceHooks.indexOf(hook.hook), priority: hook.priority, device: hook.device }
    : { hook: inetHooks.indexOf(hook.hook), priority: hook.priority };

/** The hook of a chain as the kernel lists it; `other` is a place, type or policy that we never write. */
export function decodeHook(
  { type, policy, hook }: Values<typeof chainAttributes>,
  { family }: InTable,
): Hook | 'other' | undefined {
  if (hook === undefined) return undefined;
  const { hook: number = -1, priority, device } = hook;
  if (priority === undefined || policy !== 'accept') return 'other';
  if (family === 'netdev') {
    const place = deviceHooks[number];
    const isOurs = type === 'filter' && place !== undefined && device !== undefined;
    return isOurs ? { type, hook: place, device, priority } : 'other';
  }
  const place = inetHooks[number];
  const isOurs = type === 'filter' || type === 'nat' || type === 'route';
  return isOurs && place !== undefined ? { type, hook: place, priority } : 'other';
}
