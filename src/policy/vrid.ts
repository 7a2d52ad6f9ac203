import type { Address } from '../base/address.ts';
import { fnv1a } from '../base/fnv1a.ts';
import type { Exit } from './exit.ts';

/** The number of the Virtual Router of a list of gateways (VRRP), the same on each of them: 1…255. */
export const vridOf = ({ gateways, vrid }: Pick<Exit, 'vrid'> & { readonly gateways: readonly Address[] }): number =>
  vrid ?? 1 + (fnv1a(gateways.join(' ')) % 255);
