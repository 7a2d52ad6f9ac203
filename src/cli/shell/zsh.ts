import { type ArgumentWords, allOf, type CommandWords, type Kind, type OptionWords } from './words.ts';

/** A script for zsh: a file `_egress` in `fpath`, or `source <(egress completion zsh)`. */
export function zshScript(program: CommandWords): string {
  return `#compdef egress
# zsh completion for egress, made by: egress completion zsh
${allOf(program).toReversed().map(functionOf).join('\n')}
if [[ $funcstack[1] == _egress ]]; then _egress "$@"; else compdef _egress egress; fi
`;
}

const nameOf = ({ path }: CommandWords): string => ['_egress', ...path].join('_');

const functionOf = (command: CommandWords): string =>
  `${nameOf(command)}() {\n${command.commands.length > 0 ? groupBody(command) : leafBody(command)}\n}`;

function groupBody(command: CommandWords): string {
  const entries = command.commands.map(
    ({ name, summary }) => `      ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`,
  );
  const cases = command.commands.map((each) => `        ${each.name}) ${nameOf(each)} ;;`);
  return `  local state line
  _arguments -C ${command.options.map(optionText).join(' ')} '1: :->command' '*:: :->words'
  case $state in
    command)
      local -a commands=(
${entries.join('\n')}
      )
      _describe command commands ;;
    words)
      case $line[1] in
${cases.join('\n')}
      esac ;;
  esac`;
}

function leafBody({ options, arguments: places }: CommandWords): string {
  const words = [...options.map(optionText), ...places.map(argumentText)];
  return `  _arguments ${words.join(' \\\n    ')}`;
}

/** `--data-dir=[where …]:dir:_files -/`: with a value behind `=` or as the next word. */
function optionText({ long, summary, value }: OptionWords): string {
  const behind = value === undefined ? '' : `:${value.name.replaceAll(':', '\\:')}:${actionOf(value.kind)}`;
  return quoted(`${long}${value === undefined ? '' : '='}[${summary.replace(/[[\]\\:]/g, '\\$&')}]${behind}`);
}

function argumentText({ text, name, kind }: ArgumentWords): string {
  return quoted(`${text.includes('...') ? '*' : ''}:${name}:${actionOf(kind)}`);
}

function actionOf(kind: Kind): string {
  if (typeof kind !== 'string') return `(${kind.join(' ')})`;
  return { file: '_files', folder: '_files -/', word: ' ' }[kind];
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
