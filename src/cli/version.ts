import { supportedVersions } from '../cni/versions.ts';
import { defaults } from '../config/defaults.ts';
import { type CliCommand, toJson } from './command.ts';
import { withJson } from './options.ts';

export const versionCommand: CliCommand = {
  name: 'version',
  summary: 'show versions, and whether the kernel can be spoken to',
  options: withJson,
  run: async ({ openMachine, version, write }, { json }: { readonly json?: true }) => {
    using machine = await openMachine({ dataDir: defaults.dataDir });
    const netlink = (await machine.host.readLink('lo')) !== undefined;
    write(
      json
        ? toJson({ version, cniVersions: supportedVersions, netlink })
        : `egress ${version}\nCNI specification ${supportedVersions.join(', ')}\nnetlink ${netlink ? 'works' : 'does not answer'}\n`,
    );
  },
};
