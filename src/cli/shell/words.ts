import type { Argument, Command, Option } from 'commander';

/** What may stand in a place: a file, a folder, one of some words, or a word that nobody can know. */
export type Kind = 'file' | 'folder' | 'word' | readonly string[];

/** An option of a command. */
export interface OptionWords {
  /** `--data-dir` */
  readonly long: string;
  readonly short?: string;
  readonly summary: string;
  /** Absent for a flag. */
  readonly value?: { readonly name: string; readonly kind: Kind };
  readonly default?: string;
}

/** An argument of a command, with its brackets. */
export interface ArgumentWords {
  readonly text: string;
  readonly name: string;
  readonly summary: string;
  readonly kind: Kind;
}

/** A command, or a group of commands. */
export interface CommandWords {
  /** `exit`, `move`; nothing for the program itself. */
  readonly path: readonly string[];
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionWords[];
  readonly arguments: readonly ArgumentWords[];
  readonly commands: readonly CommandWords[];
}

/** The commands as the parser knows them: what it takes is what is completed and described. */
export function wordsOf(command: Command, path: readonly string[] = []): CommandWords {
  const help = command.createHelp();
  return {
    path,
    name: command.name(),
    summary: command.description(),
    options: help.visibleOptions(command).map(optionWords),
    arguments: command.registeredArguments.map(argumentWords),
    commands: command.commands.map((each) => wordsOf(each, [...path, each.name()])),
  };
}

/** The command, and all below it. */
export const allOf = (command: CommandWords): readonly CommandWords[] => [command, ...command.commands.flatMap(allOf)];

function optionWords({ long, short, description, flags, argChoices, defaultValue }: Option): OptionWords {
  const name = /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1];
  return {
    long: long ?? flags,
    ...(short && { short }),
    summary: description,
    ...(name && { value: { name, kind: kindOf(name, argChoices) } }),
    ...(typeof defaultValue === 'string' && { default: defaultValue }),
  };
}

function argumentWords(argument: Argument): ArgumentWords {
  const { required, variadic, description, argChoices } = argument;
  const name = `${argument.name()}${variadic ? '...' : ''}`;
  const kind = kindOf(argument.name(), argChoices);
  return { text: required ? `<${name}>` : `[${name}]`, name: argument.name(), summary: description, kind };
}

const kinds: Readonly<Record<string, Kind>> = { file: 'file', path: 'file', dir: 'folder' };

const kindOf = (name: string, choices: readonly string[] | undefined): Kind => choices ?? kinds[name] ?? 'word';
