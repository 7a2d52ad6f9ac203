import { errorTopics } from '../help/errors.ts';
import { allOf, type CommandWords, type OptionWords } from './words.ts';

/** The manual page egress(8), from the parser's own table and the table of errors; man(7). */
export function manPage(program: CommandWords, version: string): string {
  const commands = allOf(program).filter(({ commands, path }) => path.length > 0 && commands.length === 0);
  return `${[
    `.TH EGRESS 8 "" "cni-egress ${plain(version)}" "System Administration"`,
    section('NAME', `egress \\- ${plain('decides how each pod’s traffic leaves the cluster')}`),
    section('SYNOPSIS', '.B egress', `.I ${plain('command')}`, '[options] [arguments]'),
    section(
      'DESCRIPTION',
      plain(`${program.summary}.`),
      '.PP',
      plain(
        'A container runtime calls the same binary with CNI_COMMAND in the environment, and a network configuration on standard input.',
      ),
    ),
    section('COMMANDS', ...commands.flatMap(commandText)),
    section('EXIT STATUS', ...rows(exitCodes)),
    section('ENVIRONMENT', ...rows(variables)),
    section('FILES', ...rows(files)),
    section('ERRORS', plain('egress help CODE tells more about each.'), ...rows(errors)),
    section('SEE ALSO', plain('ip-rule(8), ip-route(8), nft(8), conntrack(8)')),
  ].join('\n')}\n`;
}

const section = (title: string, ...lines: readonly string[]): string => [`.SH ${title}`, ...lines].join('\n');

function commandText({ path, summary, options, arguments: places }: CommandWords): string[] {
  const words = ['egress', ...path].join(' ');
  const usage = places.map(({ text }) => text).join(' ');
  return [
    `.SS "${plain(`${words}${usage ? ` ${usage}` : ''}`)}"`,
    plain(`${capital(summary)}.`),
    ...places.filter(({ summary }) => summary !== '').flatMap(({ text, summary }) => row(text, `${summary}.`)),
    ...options.flatMap(optionText),
  ];
}

function optionText({ long, short, summary, value, default: usual }: OptionWords): string[] {
  const flags = `${short ? `${short}, ` : ''}${long}${value ? ` <${value.name}>` : ''}`;
  return row(flags, `${capital(summary)}${usual ? ` (default: ${usual})` : ''}.`);
}

const row = (term: string, text: string): string[] => ['.TP', `.B "${plain(term)}"`, plain(text)];

const rows = (table: readonly (readonly [string, string])[]): string[] =>
  table.flatMap(([term, text]) => row(term, text));

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

const exitCodes = [
  ['0', 'All is well.'],
  ['1', 'Something is wrong, or could not be done.'],
  ['2', 'The command was called wrongly.'],
] as const;

const variables = [
  ['EGRESS_PROC_SYS', 'Where kernel parameters can be written, when /proc/sys is mounted read-only.'],
  ['NO_COLOR', 'With any value: no colours on a terminal.'],
] as const;

const files = [
  ['/etc/cni/egress/policy.json', 'Exits and policies.'],
  ['/etc/cni/net.d', 'Network configurations, with the chain entry of egress.'],
  ['/var/lib/cni/egress', 'What egress remembers of this node.'],
] as const;

const errors = errorTopics.map(
  ({ names: [name = '', number = ''], title, remedy }) =>
    [`${number} ${name}`, `${title.replace(/ \(\d+\)$/, '')}. ${remedy}.`] as const,
);

/** Text that roff takes as it is: no line of it is a request, and no backslash an escape. */
const plain = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replace(/^[.']/gm, '\\&$&')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll('’', '\\(cq');
