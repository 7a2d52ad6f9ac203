import { withoutMiddle } from '../base/shown.ts';
import type { EgressMap, MapBox, MapEdge } from './map.ts';

/** Sizes in pixels; a letter of the font is {@link letter} wide. */
export const page = {
  margin: 24,
  head: 76,
  gapX: 84,
  gapY: 18,
  line: 17,
  titleLine: 20,
  padX: 14,
  padY: 10,
  bar: 4,
} as const;
const letter = { line: 7.3, title: 7.9 } as const;
/** Letters of a line at most: what is longer is shortened in the middle. */
const longest = 52;
/** Widths that a column has at least. */
const narrowest = 120;

/** A box on the page. */
export interface PlacedBox extends MapBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A line on the page, from one box's right side to the left side of another. */
export interface PlacedEdge extends MapEdge {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** A page with everything in its place; nothing is over something else. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly heads: readonly { readonly text: string; readonly x: number }[];
  readonly boxes: readonly PlacedBox[];
  readonly edges: readonly PlacedEdge[];
}

/** Puts a map on a page: columns from left to right, in each the boxes near those that lead to them. */
export function layoutOf(map: EgressMap): Layout {
  const shown = map.boxes.map(withShortWords);
  const used = map.columns.map((text, column) => ({ text, own: shown.filter((box) => box.column === column) }));
  const columns = used.filter(({ own }) => own.length > 0);
  const heights = columns.map(({ own }) => heightOf(own));
  const tallest = Math.max(...heights, 0);
  let x: number = page.margin;
  const placed: PlacedBox[] = [];
  const heads: { text: string; x: number }[] = [];
  for (const [i, { text, own }] of columns.entries()) {
    const width = Math.max(narrowest, Math.ceil(text.length * letter.title), ...own.map(widthOf));
    heads.push({ text, x });
    placed.push(...stacked(nearest(own, map.edges, placed), x, page.head + (tallest - (heights[i] ?? 0)) / 2, width));
    x += width + page.gapX;
  }
  const width = Math.max(x - page.gapX + page.margin, Math.ceil(map.title.length * 9.5) + 2 * page.margin);
  const height = page.head + tallest + page.margin;
  return { width, height, title: map.title, heads, boxes: placed, edges: placedEdges(map.edges, placed) };
}

const withShortWords = (box: MapBox): MapBox => ({
  ...box,
  title: withoutMiddle(box.title, longest - 3),
  lines: box.lines.map((line) => withoutMiddle(line, longest)),
});

const widthOf = ({ title, lines }: MapBox): number =>
  Math.ceil(Math.max([...title].length * letter.title, ...lines.map((line) => [...line].length * letter.line))) +
  2 * page.padX +
  page.bar;

const boxHeight = ({ lines }: MapBox): number => 2 * page.padY + page.titleLine + lines.length * page.line;

const heightOf = (boxes: readonly MapBox[]): number =>
  boxes.reduce((sum, box) => sum + boxHeight(box), page.gapY * Math.max(0, boxes.length - 1));

/** By the middle of the boxes that lead to them; what nothing leads to comes last. */
function nearest(boxes: readonly MapBox[], edges: readonly MapEdge[], placed: readonly PlacedBox[]): readonly MapBox[] {
  const middles = new Map(placed.map(({ id, y, height }) => [id, y + height / 2]));
  const middle = ({ id }: MapBox): number => {
    const before = edges.flatMap(({ from, to }) => (to === id ? (middles.get(from) ?? []) : []));
    return before.length === 0 ? Number.MAX_VALUE : before.reduce((sum, y) => sum + y, 0) / before.length;
  };
  return placed.length === 0 ? boxes : boxes.toSorted((a, b) => middle(a) - middle(b));
}

function stacked(boxes: readonly MapBox[], x: number, top: number, width: number): PlacedBox[] {
  let y = top;
  return boxes.map((box) => {
    const placed = { ...box, x, y, width, height: boxHeight(box) };
    y += placed.height + page.gapY;
    return placed;
  });
}

/** Ends are spread along the side of a box, in the order of where the lines lead. */
function placedEdges(edges: readonly MapEdge[], boxes: readonly PlacedBox[]): readonly PlacedEdge[] {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const at = (id: string, other: string, side: 'from' | 'to'): number => {
    const box = byId.get(id);
    const beside = edges.filter((edge) => edge[side] === id).map((edge) => edge[side === 'from' ? 'to' : 'from']);
    const order = beside.toSorted((a, b) => (byId.get(a)?.y ?? 0) - (byId.get(b)?.y ?? 0));
    const { y = 0, height = 0 } = box ?? {};
    return y + (height * (order.indexOf(other) + 1)) / (order.length + 1);
  };
  return edges.flatMap((edge) => {
    const [from, to] = [byId.get(edge.from), byId.get(edge.to)];
    if (from === undefined || to === undefined) return [];
    const ends = { y1: at(edge.from, edge.to, 'from'), y2: at(edge.to, edge.from, 'to') };
    return [{ ...edge, x1: from.x + from.width, x2: to.x, ...ends }];
  });
}
