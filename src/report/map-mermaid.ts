import type { EgressMap, MapBox, MapEdge } from './map.ts';

/** A map as text for Mermaid (a flowchart, of which GitHub and GitLab draw a picture). */
export function mermaidOf({ title, columns, boxes, edges }: EgressMap): string {
  const groups = columns.flatMap((name, column) => {
    const own = boxes.filter((box) => box.column === column);
    return own.length === 0 ? [] : [`  subgraph c${column}["${name}"]`, ...own.map(boxText), '  end'];
  });
  const lines = [
    'flowchart LR',
    `  accTitle: ${title.replace(/[^\p{L}\p{N} ,._-]/gu, '?')}`,
    ...groups,
    ...edges.map(edgeText),
    ...classes(boxes),
  ];
  return `${lines.join('\n')}\n`;
}

const boxText = ({ id, title, lines }: MapBox): string =>
  `    ${id}["${[`<b>${escaped(title)}</b>`, ...lines.map(escaped)].join('<br/>')}"]`;

const edgeText = ({ from, to, idle }: MapEdge): string => `  ${from} ${idle ? '-.->' : '-->'} ${to}`;

/** Borders alone have a colour: the text stays readable on a light and a dark page. */
const strokes = { works: '#1a7f37', fails: '#cf222e', unknown: '#bf8700', drop: '#818b98' } as const;

const classes = (boxes: readonly MapBox[]): string[] =>
  Object.entries(strokes).flatMap(([tone, colour]) => {
    const own = boxes.filter((box) => box.tone === tone).map(({ id }) => id);
    if (own.length === 0) return [];
    return [`  classDef ${tone} stroke:${colour},stroke-width:2px`, `  class ${own.join(',')} ${tone}`];
  });

/** All that Mermaid, Markdown or HTML would take for something else than a letter, as numbers of Unicode (`#35;`). */
const escaped = (words: string): string =>
  words
    .toWellFormed()
    .replace(/\p{Cc}/gu, '?')
    .replace(/[^\p{L}\p{N} .,:/()→…’+-]/gu, (letter) => `#${letter.codePointAt(0)};`);
