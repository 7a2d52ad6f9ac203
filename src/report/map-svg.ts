import type { EgressMap, Tone } from './map.ts';
import { type Layout, layoutOf, type PlacedBox, type PlacedEdge, page } from './map-layout.ts';

/** Colours for a light and for a dark page. Class rules, and no variables: all that show SVG know them. */
const light = {
  page: '#ffffff',
  ink: '#1f2328',
  soft: '#59636e',
  box: '#f6f8fa',
  edge: '#818b98',
  tones: {
    plain: '#0969da',
    works: '#1a7f37',
    fails: '#cf222e',
    standby: '#0969da',
    unknown: '#9a6700',
    drop: '#59636e',
  },
};
const dark: typeof light = {
  page: '#0d1117',
  ink: '#f0f6fc',
  soft: '#9198a1',
  box: '#161b22',
  edge: '#7d8590',
  tones: {
    plain: '#4493f8',
    works: '#3fb950',
    fails: '#f85149',
    standby: '#4493f8',
    unknown: '#d29922',
    drop: '#9198a1',
  },
};

const rules = ({ page: back, ink, soft, box, edge, tones }: typeof light): string =>
  [
    `.page{fill:${back}}.ink{fill:${ink}}.soft{fill:${soft}}.box{fill:${box};stroke:${edge}}.edge{stroke:${edge}}.tip{fill:${edge}}`,
    ...Object.entries(tones).map(([tone, colour]) => `.${tone}{fill:${colour}}`),
  ].join('');

const style = `<style>text{font-family:"DejaVu Sans Mono","Liberation Mono",Menlo,Consolas,monospace;font-size:12px}.title{font-size:13px;font-weight:600}.name{font-size:16px;font-weight:600}.edge{fill:none;stroke-width:1.5}.idle{stroke-dasharray:5 4}${rules(light)}@media (prefers-color-scheme:dark){${rules(dark)}}</style>`;

/** A map as SVG, which shows itself on a light and on a dark page. */
export function svgOf(map: EgressMap): string {
  const layout = layoutOf(map);
  const { width, height, title, heads, boxes, edges } = layout;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${round(height)}" viewBox="0 0 ${width} ${round(height)}" role="img">`,
    `<title>${escaped(title)}</title>`,
    style,
    `<rect class="page" width="100%" height="100%" rx="6"/>`,
    text('ink name', page.margin, 32, title),
    ...heads.map(({ text: head, x }) => text('soft', x, 60, head)),
    ...edges.map(edgeText),
    ...boxes.map((box) => boxText(box, fullWords(map, box), layout)),
    '</svg>\n',
  ].join('\n');
}

/** What a box says before it was shortened: shown where a pointer rests on it. */
const fullWords = ({ boxes }: EgressMap, { id }: PlacedBox): string => {
  const box = boxes.find((each) => each.id === id);
  return box ? [box.title, ...box.lines].join('\n') : '';
};

function boxText({ x, y, width, height, title, lines, tone }: PlacedBox, full: string, _: Layout): string {
  const left = x + page.bar + page.padX;
  const first = y + page.padY + 13;
  return [
    '<g>',
    `<title>${escaped(full)}</title>`,
    `<rect class="box" x="${x}" y="${round(y)}" width="${width}" height="${height}" rx="4"/>`,
    `<rect class="${tone}" x="${x}" y="${round(y)}" width="${page.bar}" height="${height}" rx="2"/>`,
    text('ink title', left, first, title),
    ...lines.map((line, i) => text(lineClass(line, tone), left, first + page.titleLine + i * page.line, line)),
    '</g>',
  ].join('');
}

const lineClass = (line: string, tone: Tone): string =>
  tone === 'fails' && (line.startsWith('FAILS') || line.includes('(not on ')) ? 'fails' : 'soft';

function edgeText({ x1, y1, x2, y2, idle }: PlacedEdge): string {
  const [middle, end] = [round((x1 + x2) / 2), x2 - 7];
  const way = `M${x1} ${round(y1)}C${middle} ${round(y1)} ${middle} ${round(y2)} ${end} ${round(y2)}`;
  const tip = `M${x2} ${round(y2)}l-8 -4v8z`;
  return `<path class="edge${idle ? ' idle' : ''}" d="${way}"/><path class="tip" d="${tip}"/>`;
}

const text = (classes: string, x: number, y: number, words: string): string =>
  `<text class="${classes}" x="${x}" y="${round(y)}" xml:space="preserve">${escaped(words)}</text>`;

const round = (value: number): number => Math.round(value * 10) / 10;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** XML 1.0 has no place for control characters and halves of letters, whatever they are written as. */
const escaped = (words: string): string =>
  words
    .toWellFormed()
    .replace(/[^\P{Cc}\n]|[\uFFFE\uFFFF]/gu, '?')
    .replace(/[&<>"']/g, (letter) => entities[letter] ?? letter);
