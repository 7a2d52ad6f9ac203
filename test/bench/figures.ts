import type { PartResult, Run } from './result.ts';
import { type Panel, type Plot, wrapped } from './svg.ts';

// What README.md shows of results: it is made of them, so it cannot say something else.

/** The plots, in the order of README.md, and how the paragraph of each begins there. */
export const places = {
  start: 'Starting',
  add: 'ADD and DEL',
  traffic: 'Traffic',
  failover: 'Failover',
  agent: 'The agent',
} as const;

/** A plot, and what README.md says beside it. */
export interface Figures {
  /** Of its file, and of its place in README.md. */
  readonly name: keyof typeof places;
  readonly plot: Plot;
  /** Sentences with the numbers that matter most. */
  readonly words: string;
}

/** Letters in a line of README.md. */
const width = 140;

/** The text of README.md with these figures in their places; a place without new figures stays as it is. */
export const withFigures = (readme: string, all: readonly Figures[]): string =>
  all.reduce((text, figures) => text.replace(placeOf(figures.name), () => blockOf(figures)), readme);

/** What stands in the place of some figures in a text; `undefined` when it has no such place. */
export const shownIn = (readme: string, name: Figures['name']): string | undefined => placeOf(name).exec(readme)?.[0];

/** The paragraph that begins with its name. */
const placeOf = (name: Figures['name']): RegExp => new RegExp(`^\\*\\*${places[name]}\\.\\*\\* .*?\n(?=\n)`, 'ms');

/** What stands in the place of these figures. */
export function blockOf({ name, plot, words }: Figures): string {
  const text = wrapped(`**${places[name]}.** ${words}`, width).join('\n');
  return `${text}\n![${plot.title}](test/bench/results/${name}.svg)\n`;
}

/** `29 November 2026`. */
const dayOf = ({ date }: Run): string =>
  new Date(date).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });

/** Where and when, for the foot of a plot. */
export function footOf(results: readonly PartResult[]): string {
  const where = ({ run }: PartResult): string =>
    `${dayOf(run)}, commit ${run.commit}, ${run.machine}, Linux ${run.kernel}, Node ${run.node}`;
  const loads = (of: readonly PartResult[]): string => of.map(({ run }) => run.load.before).join(' and ');
  const each = [...Map.groupBy(results, where)].map(([words, of]) => `${words}, load before ${loads(of)}`);
  return `${each.join('; ')}.`;
}

/** The numbers of panels in words. */
export const described = (panels: readonly Panel[]): string =>
  panels
    .map(({ title, rows }) => `${title}: ${rows.map(({ name, value }) => `${name} ${value}`).join('; ')}.`)
    .join(' ');
