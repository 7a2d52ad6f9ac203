import type { Configuration } from '../config/configuration.ts';
import { addAddresses, addExits, addGateways } from './map-exits.ts';
import { MapMaker } from './map-maker.ts';
import { addPods, addPolicies } from './map-pods.ts';
import type { StatusDocument } from './status-schema.ts';

/** What a box or a line is marked with, beside its words. */
export type Tone = 'plain' | 'works' | 'fails' | 'standby' | 'unknown' | 'drop';

/** Something that packets come by, in one of the columns. */
export interface MapBox {
  /** Of our making: letters and digits. */
  readonly id: string;
  /** Place of its column in {@link EgressMap.columns}. */
  readonly column: number;
  readonly title: string;
  readonly lines: readonly string[];
  readonly tone: Tone;
}

/** A way from a box to one of the next column. */
export interface MapEdge {
  readonly from: string;
  readonly to: string;
  /** Not taken now: a gateway that is ready, say. */
  readonly idle?: true;
}

/** Egress as a picture, before anybody says where on a page things are. */
export interface EgressMap {
  readonly title: string;
  readonly columns: readonly string[];
  readonly boxes: readonly MapBox[];
  readonly edges: readonly MapEdge[];
}

/** Policies and exits as they are configured; what no pod uses is drawn, too. */
export type Configured = Pick<Configuration, 'policies' | 'exits'>;

export const columns = ['Pods', 'Policies', 'Exits', 'Leave from', 'With address'] as const;

/**
 * The map of some nodes. Pods of a namespace with the same policies share a box; what several nodes tell of an exit, a
 * gateway or an address is one.
 */
export function mapOf(statuses: readonly StatusDocument[], configured?: Configured): EgressMap {
  const maker = new MapMaker();
  addPods(maker, statuses);
  addPolicies(maker, statuses, configured?.policies ?? []);
  addExits(maker, statuses, configured?.exits ?? []);
  addGateways(maker, statuses, configured?.exits ?? []);
  addAddresses(maker, statuses, configured?.exits ?? []);
  const { boxes, edges } = maker;
  const names = [...new Set(statuses.map(({ node }) => node))];
  const title =
    names.length === 0
      ? 'Egress as configured'
      : `Egress of ${names.length > 4 ? `${names.length} nodes` : names.join(', ')}`;
  return { title, columns, boxes, edges };
}
