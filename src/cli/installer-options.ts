import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaults } from '../config/defaults.ts';
import { logLevels } from '../config/schema.ts';
import type { InstallWish, Places } from '../installer/installer.ts';

/** Options of the installer's commands, on the command line or by environment variables. */
export interface PlaceFlags {
  readonly hostRoot: string;
  readonly hostFiles?: string;
  readonly binDir: string;
  readonly confDir: string;
  readonly policyFile?: string;
  readonly dataDir?: string;
}

export interface InstallFlags extends PlaceFlags {
  readonly confName?: string;
  readonly binary?: string;
  readonly policySource?: string;
  readonly logFile?: string;
  readonly logLevel?: string;
  readonly node?: string;
  readonly watch?: true;
  readonly readyFile: string;
}

const option = (flags: string, variable: string, description: string, byDefault?: string): Option => {
  const made = new Option(flags, description).env(variable);
  return byDefault === undefined ? made : made.default(byDefault);
};

/** Options of `install` and `uninstall`. Paths are those of the host, unless said otherwise. */
export const withPlaces = (command: Command): Command =>
  command
    .addOption(option('--host-root <dir>', 'HOST_ROOT', 'where the host’s root folder is mounted', '/'))
    .addOption(
      option(
        '--host-files <dir>',
        'HOST_FILES',
        'below which the host’s folders are mounted that are written to, if not below the root',
      ),
    )
    .addOption(option('--bin-dir <dir>', 'CNI_BIN_DIR', 'where the runtime looks for plugins', '/opt/cni/bin'))
    .addOption(option('--conf-dir <dir>', 'CNI_CONF_DIR', 'where the runtime looks for networks', '/etc/cni/net.d'))
    .addOption(option('--policy-file <file>', 'POLICY_FILE', `the policy file, ${defaults.policyFile} by default`))
    .addOption(
      option('--data-dir <dir>', 'DATA_DIR', `where the plugin keeps its state, ${defaults.dataDir} by default`),
    );

export const readyFileOption = (): Option =>
  option(
    '--ready-file <file>',
    'READY_FILE',
    'file in the container that is there while all is ready',
    '/run/egress/ready.json',
  );

/** In seconds; 0 does not wait. */
export const waitOption = (): Option =>
  new Option('--wait <seconds>', 'wait until all is ready, but no longer than this').default(0).argParser((text) => {
    const seconds = Number(text);
    if (text.trim() !== '' && seconds >= 0 && seconds <= 3600) return seconds;
    throw new InvalidArgumentError(`Expected seconds from 0 to 3600, got "${text}".`);
  });

export const confNameOption = (): Option =>
  option('--conf-name <name>', 'CNI_CONF_NAME', 'the network to stand in, instead of the first one');

/** Options of `install` alone. */
export const withWishes = (command: Command): Command =>
  command
    .addOption(confNameOption())
    .addOption(
      option('--binary <file>', 'EGRESS_BINARY', 'what to install, a path in the container; else this program'),
    )
    .addOption(
      option('--policy-source <path>', 'POLICY_SOURCE', 'policy file to install, or folder with it, in the container'),
    )
    .addOption(option('--log-file <file>', 'LOG_FILE', 'where the plugin writes its log'))
    .addOption(option('--log-level <level>', 'LOG_LEVEL', 'from which severity on').choices(logLevels))
    .addOption(option('--node <address>', 'NODE_ADDRESS', 'this node’s underlay address'))
    .addOption(readyFileOption())
    .option('--watch', 'keep it so until told to stop, and then leave it as it is');

export function placesIn({ hostRoot, hostFiles, binDir, confDir, policyFile, dataDir }: PlaceFlags): Places {
  return {
    hostRoot,
    hostFiles: hostFiles ?? hostRoot,
    binDir,
    confDir,
    policyFile: policyFile ?? defaults.policyFile,
    dataDir: dataDir ?? defaults.dataDir,
  };
}

/** A policy that we install is named in the entry: should it get lost, pods wait for it and do not start without. */
export function wishIn(flags: InstallFlags): InstallWish {
  const { confName, binary, policySource, dataDir, logFile, logLevel, node } = flags;
  const places = placesIn(flags);
  const policyFile = policySource === undefined ? flags.policyFile : places.policyFile;
  return { ...places, confName, binary, policySource, entry: { policyFile, dataDir, logFile, logLevel, node } };
}
