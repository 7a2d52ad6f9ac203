import { short } from '../base/quantity.ts';
import type { MapBox, MapEdge, Tone } from './map.ts';
import type { StatusDocument } from './status-schema.ts';

/** What a box is told while a map is made. */
export type BoxWords = Pick<MapBox, 'title' | 'lines'> & { readonly tone?: Tone };

/** Boxes and edges, each once. Boxes are known by what they stand for until they get an id. */
export class MapMaker {
  readonly #boxes = new Map<string, MapBox>();
  readonly #edges = new Map<string, MapEdge>();

  get boxes(): readonly MapBox[] {
    return [...this.#boxes.values()];
  }

  get edges(): readonly MapEdge[] {
    return [...this.#edges.values()];
  }

  /** A box for something; what is told of it later stands below what was told first. */
  box(column: number, key: string, { title, lines, tone = 'plain' }: BoxWords): void {
    const known = this.#boxes.get(key);
    const id = known?.id ?? `b${this.#boxes.size}`;
    const all = [...new Set([...(known?.lines ?? []), ...lines])];
    this.#boxes.set(key, { id, column, title: known?.title ?? title, lines: all, tone: worse(known?.tone, tone) });
  }

  has(key: string): boolean {
    return this.#boxes.has(key);
  }

  /** A way between two boxes that are there. One that is taken by somebody is not idle. */
  edge(from: string, to: string, idle = false): void {
    const [a, b] = [this.#boxes.get(from), this.#boxes.get(to)];
    if (a === undefined || b === undefined) return;
    const key = `${a.id} ${b.id}`;
    const known = this.#edges.get(key);
    this.#edges.set(key, { from: a.id, to: b.id, ...(idle && (known === undefined || known.idle) && { idle: true }) });
  }
}

const order: readonly Tone[] = ['plain', 'works', 'standby', 'unknown', 'drop', 'fails'];

/** Of two nodes that see an exit, the one that sees a fault is heard. */
const worse = (a: Tone | undefined, b: Tone): Tone => (a !== undefined && order.indexOf(a) > order.indexOf(b) ? a : b);

/** Names of what boxes stand for. */
export const keys = {
  pods: (namespace: string, policies: string) => `pods ${namespace} ${policies}`,
  policy: (name: string) => `policy ${name}`,
  exit: (name: string) => `exit ${name}`,
  place: (name: string) => `place ${name}`,
  addresses: (exit: string, addresses: readonly string[]) => `addresses ${exit} ${addresses.join(' ')}`,
} as const;

/** The key of the box of a node: gateways are known by their address in the tunnel's network, from other nodes, too. */
export const placeOf = ({ tunnel, node }: StatusDocument): string => keys.place(tunnel?.local ?? node);

/** The first few of many lines, and how many more there are. */
export function fewLines(lines: readonly string[], most: number): readonly string[] {
  return lines.length <= most ? lines : [...lines.slice(0, most - 1), `and ${lines.length - most + 1} more`];
}

/** Packets and bytes in a second, of all of which a rate is known; nothing without any. */
export function rateLines(
  rated: readonly { readonly rate?: { packets: number; bytes: number } | undefined }[],
): string[] {
  const rates = rated.flatMap(({ rate }) => rate ?? []);
  if (rates.length === 0) return [];
  const sum = (of: 'packets' | 'bytes') => rates.reduce((all, rate) => all + rate[of], 0);
  return [`${short(sum('packets'))} packets/s, ${short(sum('bytes'))} bytes/s`];
}
