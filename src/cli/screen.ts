import type { CliSurroundings } from './command.ts';

/** A terminal that one page is shown on at a time. What was on it comes back when it is disposed of. */
export interface PageScreen extends Disposable {
  /** Shows a text in place of the one before: as many lines as there is room for. */
  show(text: string): void;
}

/** Sequences of DEC and xterm: the other screen, where nothing of the first is lost; the cursor hidden; erase to the end. */
const codes = {
  enter: '\x1b[?1049h\x1b[?25l',
  leave: '\x1b[?25h\x1b[?1049l',
  home: '\x1b[H',
  restOfLine: '\x1b[K',
  rest: '\x1b[J',
} as const;

/** Begins to show pages. What stands in a page is drawn over the old one, which does not flicker. */
export function onScreen(surroundings: Pick<CliSurroundings, 'write' | 'screen'>): PageScreen {
  surroundings.write(codes.enter);
  return {
    show: (text) => surroundings.write(pageOf(text, surroundings.screen?.rows)),
    [Symbol.dispose]: () => surroundings.write(codes.leave),
  };
}

function pageOf(text: string, rows = Number.POSITIVE_INFINITY): string {
  const lines = text.trimEnd().split('\n');
  const shown = lines.length > rows ? [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} more lines`] : lines;
  return `${codes.home}${shown.map((line) => `${line}${codes.restOfLine}`).join('\r\n')}${codes.rest}`;
}
