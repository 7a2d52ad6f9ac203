import { EgressError } from '../base/errors.ts';
import { isThere, writeDurably } from '../files/file.ts';
import { readIfThere } from '../report/configured.ts';
import { mapOf } from '../report/map.ts';
import { mermaidOf } from '../report/map-mermaid.ts';
import { svgOf } from '../report/map-svg.ts';
import { readStatusText, type StatusDocument } from '../report/status-schema.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { contentOf } from './documents.ts';
import {
  type ConfOptions,
  type NodeOptions,
  type PolicyOptions,
  withConfDir,
  withDataDir,
  withPolicyIfThere,
} from './options.ts';
import { lookAtStatus } from './status.ts';

interface MapOptions extends NodeOptions, ConfOptions, PolicyOptions {
  readonly svg?: true;
  readonly output?: string;
}

/** `egress map`: of this node, or of the nodes whose statuses are in files. */
async function printMap(surroundings: CliSurroundings, files: readonly string[], options: MapOptions): Promise<void> {
  const { readFile, remark, write } = surroundings;
  if (options.output !== undefined) requireNew(options.output);
  const statuses =
    files.length > 0 ? files.map((file) => statusIn(file, readFile)) : [await ownStatus(surroundings, options)];
  const isAsked = files.length === 0 || options.policy !== undefined;
  const configured = isAsked ? readIfThere(options.policy, readFile) : undefined;
  const isKnown = configured !== undefined && !('unknown' in configured);
  if (configured && !isKnown && options.policy)
    remark(`egress: ${options.policy} is left out: ${configured.unknown}\n`);
  const map = mapOf(withNames(statuses, files), isKnown ? configured : undefined);
  const text = options.svg || options.output?.endsWith('.svg') ? svgOf(map) : mermaidOf(map);
  if (options.output === undefined) write(text);
  else writeDurably(options.output, text);
}

async function ownStatus(surroundings: CliSurroundings, options: MapOptions): Promise<StatusDocument> {
  using machine = await surroundings.openMachine(options);
  const { status } = await lookAtStatus(machine, options, surroundings);
  return readStatusText('egress status', toJson(status));
}

function statusIn(file: string, readFile: CliSurroundings['readFile']): StatusDocument {
  const text = contentOf(file, readFile);
  if (typeof text === 'string') return readStatusText(file, text);
  throw new EgressError('invalid-argument', `${file}: ${text.message}`);
}

/** Machines of one name are told apart by their files. */
function withNames(statuses: readonly StatusDocument[], files: readonly string[]): readonly StatusDocument[] {
  const isUnique = new Set(statuses.map(({ node }) => node)).size === statuses.length;
  return isUnique ? statuses : statuses.map((status, i) => ({ ...status, node: nameOfFile(files[i] ?? status.node) }));
}

const nameOfFile = (path: string): string =>
  path
    .replace(/^.*\//, '')
    .replace(/\.json$/, '')
    .replace(/^status-/, '');

/** Nothing is written over: the name may be a slip. */
function requireNew(file: string): void {
  if (!isThere(file)) return;
  throw new EgressError('invalid-argument', `--output: expected the name of a new file, and ${file} is there already`);
}

export const mapCommand: CliCommand = {
  name: 'map',
  summary:
    'draw pods, policies, exits, gateways and addresses, of this node or of nodes whose "status --json" is in files',
  options: (command) =>
    withPolicyIfThere(
      withConfDir(withDataDir(command))
        .argument('[file...]', 'what "egress status --json" printed on each node; without files, this node is asked')
        .option('--svg', 'print SVG; without it, text for Mermaid')
        .option('--output <file>', 'write a new file, of SVG if its name says so'),
    ),
  run: (surroundings, files: readonly string[], options: MapOptions) => printMap(surroundings, files, options),
};
