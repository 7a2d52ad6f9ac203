import { allOf, type CommandWords, type Kind, type OptionWords } from './words.ts';

/** A script for fish: `egress completion fish | source`. */
export const fishScript = (program: CommandWords): string =>
  `# fish completion for egress, made by: egress completion fish
complete -c egress -f
${allOf(program).flatMap(linesOf).join('\n')}
`;

function linesOf(command: CommandWords): string[] {
  const here = conditionOf(command);
  return [
    ...command.commands.map(({ name, summary }) => line(here, `-a ${name} -d ${quoted(summary)}`)),
    ...command.arguments.slice(0, 1).flatMap(({ kind }) => argumentOf(here, kind)),
    ...command.options.map((option) => line(here, optionText(option))),
  ];
}

const line = (condition: string, what: string): string => `complete -c egress -n ${quoted(condition)} ${what}`;

/** Behind the command's own words, and of a group none of those below it. */
function conditionOf({ path, commands }: CommandWords): string {
  if (path.length === 0) return '__fish_use_subcommand';
  const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const below =
    commands.length > 0 ? [`not __fish_seen_subcommand_from ${commands.map(({ name }) => name).join(' ')}`] : [];
  return [...seen, ...below].join('; and ');
}

function argumentOf(condition: string, kind: Kind): string[] {
  if (kind === 'word') return [];
  return [line(condition, typeof kind === 'string' ? filesOf(kind) : `-a ${quoted(kind.join(' '))}`)];
}

const filesOf = (kind: 'file' | 'folder'): string => (kind === 'file' ? '-F' : "-a '(__fish_complete_directories)'");

function optionText({ long, short, summary, value }: OptionWords): string {
  const names = `${short ? `-s ${short.slice(1)} ` : ''}-l ${long.slice(2)}`;
  return `${names} ${value ? `${valueText(value.kind)} ` : ''}-d ${quoted(summary)}`;
}

function valueText(kind: Kind): string {
  if (kind === 'file') return '-r -F';
  if (kind === 'folder') return `-x -a '(__fish_complete_directories)'`;
  return kind === 'word' ? '-x' : `-x -a ${quoted(kind.join(' '))}`;
}

const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
