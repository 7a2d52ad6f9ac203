// Plots as SVG: bars and marks, named and with their numbers, in the style of the pictures in conf/pictures.

/** A picture of some figures. */
export interface Plot {
  /** What, and beside what. */
  readonly title: string;
  /** Which direction is better, and what has to be known to read it. */
  readonly words: string;
  /** The same in words with the numbers, for whoever does not see it. */
  readonly description: string;
  readonly panels: readonly Panel[];
  /** Where and when it was measured. */
  readonly foot: string;
}

/** Rows of one scale, which begins at 0. */
export interface Panel {
  readonly title: string;
  /** What the marks and the line are. */
  readonly legend: string;
  /** Where the line of the baseline is. */
  readonly reference?: number;
  readonly rows: readonly PlotRow[];
}

export interface PlotRow {
  readonly name: string;
  /** Whether it is egress: these have the colour. */
  readonly isOurs: boolean;
  /** The end of a bar. */
  readonly bar?: number;
  /** Joined by a line. */
  readonly marks: readonly Mark[];
  /** The numbers, as text. */
  readonly value: string;
}

export interface Mark {
  readonly shape: 'full' | 'hollow' | 'tick';
  readonly at: number;
}

/** Units of the picture: as wide as those in conf/pictures, so that its text is as large beside them, also on a phone. */
const page = { width: 720, margin: 24, text: 20, small: 16, head: 24, line: 28, row: 36, bar: 16, gap: 14 } as const;
/** The mean width of a letter, to its height: that of DejaVu Sans, which is wide. */
const letter = 0.6;

const style = `<style>
    text { font: ${page.text}px system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; fill: #1f2328; }
    .head { font-size: ${page.head}px; font-weight: 700; }
    .name { font-weight: 600; }
    .small { font-size: ${page.small}px; }
    .end { text-anchor: end; }
    .soft { fill: #59636e; }
    .good { fill: #0757b5; font-weight: 700; }
    .paper { fill: #ffffff; stroke: #818b98; }
    .ours { fill: #0757b5; stroke: #0757b5; }
    .other { fill: #818b98; stroke: #818b98; }
    .hollow { fill: #ffffff; }
    .axis { stroke: #818b98; }
    .one { stroke: #1f2328; stroke-width: 2; stroke-dasharray: 5 4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .soft { fill: #a9b4c0; }
      .good { fill: #79c0ff; }
      .paper, .hollow { fill: #0d1117; }
      .paper { stroke: #7d8894; }
      .ours { fill: #79c0ff; stroke: #79c0ff; }
      .other { fill: #7d8894; stroke: #7d8894; }
      .ours.hollow, .other.hollow { fill: #0d1117; }
      .one { stroke: #f0f6fc; }
    }
    .ours.hollow, .other.hollow { fill-opacity: 1; }
  </style>`;

/** A piece of the picture: its elements from y on, and where the next one begins. */
interface Piece {
  readonly elements: readonly string[];
  readonly end: number;
}

/** A plot as SVG, which shows itself on a light and on a dark page. */
export function svgOf(plot: Plot): string {
  const columns = columnsOf(plot.panels.flatMap(({ rows }) => rows));
  const pieces = [
    (y: number) => lines(plot.title, 'head', page.head, y + 12),
    (y: number) => lines(plot.words, 'soft', page.text, y + 2),
    ...plot.panels.map((panel) => (y: number) => panelOf(panel, columns, y)),
    (y: number) => lines(plot.foot, 'soft small', page.small, y + page.gap),
  ];
  const { elements, end } = pieces.reduce<Piece>(
    (before, piece) => {
      const next = piece(before.end);
      return { elements: [...before.elements, ...next.elements], end: next.end };
    },
    { elements: [], end: page.margin / 2 },
  );
  return framed(plot, elements, end + page.gap);
}

function framed({ title, description }: Plot, elements: readonly string[], height: number): string {
  const { width } = page;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title words">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="words">${escaped(description)}</desc>`,
    style,
    `<rect class="paper" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="12"/>`,
    ...elements,
  ]
    .join('\n  ')
    .concat('\n</svg>\n');
}

/** Where the bars of all panels are: between the longest name and the longest number. */
interface Columns {
  readonly left: number;
  readonly right: number;
}

function columnsOf(rows: readonly PlotRow[]): Columns {
  const longest = (words: readonly string[]) => widthOf(words.toSorted((a, b) => b.length - a.length)[0] ?? '');
  const left = page.margin + longest(rows.map(({ name }) => name)) + page.gap;
  const right = page.width - page.margin - longest(rows.map(({ value }) => value)) - page.gap;
  return { left, right };
}

/** About how wide a text is. */
export const widthOf = (words: string, size: number = page.text): number => Math.ceil(words.length * size * letter);

function panelOf({ title, legend, reference, rows }: Panel, columns: Columns, y: number): Piece {
  const head = lines(title, 'name', page.text, y + page.gap);
  const below = legend === '' ? head : lines(legend, 'soft small', page.small, head.end - 4);
  const top = below.end + 8;
  const end = top + rows.length * page.row;
  const most = Math.max(reference ?? 0, ...rows.flatMap(({ bar, marks }) => [bar ?? 0, ...marks.map(({ at }) => at)]));
  const x = (value: number) => round(columns.left + ((columns.right - columns.left) * value) / (most || 1));
  const upright = (at: number, name: string) => `<path class="${name}" d="M${x(at)} ${top}V${end}"/>`;
  return {
    elements: [
      ...[...head.elements, ...(below === head ? [] : below.elements), upright(0, 'axis')],
      ...rows.map((row, i) => rowOf(row, x, top + (i + 0.5) * page.row)),
      ...(reference === undefined ? [] : [upright(reference, 'one')]),
    ],
    end,
  };
}

function rowOf({ name, isOurs, bar, marks, value }: PlotRow, x: (value: number) => number, middle: number): string {
  const tone = isOurs ? 'ours' : 'other';
  const places = marks.map(({ at }) => x(at));
  const joined = `<path class="${tone}" stroke-width="3" d="M${Math.min(...places)} ${middle}H${Math.max(...places)}"/>`;
  return [
    text(isOurs ? 'name' : '', page.margin, middle + 7, name),
    ...(bar === undefined ? [] : [barOf(tone, x(0), x(bar), middle)]),
    ...(marks.length > 1 ? [joined] : []),
    ...marks.map(({ shape, at }) => markOf(shape, tone, x(at), middle)),
    text(isOurs ? 'good end' : 'end', page.width - page.margin, middle + 7, value),
  ].join('');
}

const barOf = (tone: string, left: number, right: number, middle: number): string =>
  `<rect class="${tone}" x="${left}" y="${middle - page.bar / 2}" width="${round(right - left)}" height="${page.bar}"/>`;

function markOf(shape: Mark['shape'], tone: string, x: number, y: number): string {
  if (shape === 'tick') return `<path class="${tone}" stroke-width="3" d="M${x} ${y - 9}v18"/>`;
  return `<circle class="${tone}${shape === 'hollow' ? ' hollow' : ''}" stroke-width="2.5" cx="${x}" cy="${y}" r="6"/>`;
}

/** Text in as many lines as it needs. */
function lines(words: string, name: string, size: number, y: number): Piece {
  const height = Math.round(size * 1.4);
  const each = wrapped(words, Math.floor((page.width - 2 * page.margin) / (size * letter)));
  const elements = each.map((line, i) => text(name, page.margin, y + (i + 1) * height - 6, line));
  return { elements, end: y + each.length * height };
}

/** Words in lines of at most so many letters. */
export function wrapped(words: string, most: number): readonly string[] {
  const all: string[] = [];
  for (const word of words.split(' ').filter(Boolean)) {
    const last = all.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= most) all[all.length - 1] = `${last} ${word}`;
    else all.push(word);
  }
  return all;
}

const text = (name: string, x: number, y: number, words: string): string =>
  `<text${name === '' ? '' : ` class="${name}"`} x="${x}" y="${round(y)}">${escaped(words)}</text>`;

const round = (value: number): number => Math.round(value * 10) / 10;

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

const escaped = (words: string): string => words.replace(/[&<>]/g, (sign) => entities[sign] ?? sign);
