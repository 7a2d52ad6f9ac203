import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Family, familyOf } from '../../src/base/address.ts';
import type { LabNode } from './node.ts';
import type { Daemon } from './run.ts';
import { tool } from './tools.ts';

/** What keepalived is one of the routers of. */
export interface KeepalivedOptions {
  readonly device: string;
  readonly vrid: number;
  readonly priority: number;
  /** All that it advertises; of IPv6 a link-local one first. */
  readonly addresses: readonly string[];
  /** It may take over from a lower priority. */
  readonly preempt?: true;
}

/** Debian's keepalived on a node of the lab: VRRP version 3, ten advertisements in a second. Ends with the lab. */
export class Keepalived {
  readonly daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.daemon = daemon;
  }

  static async start({ machine, folder }: LabNode, options: KeepalivedOptions): Promise<Keepalived> {
    const file = join(folder, 'keepalived.conf');
    await writeFile(file, configurationOf(options));
    const pids = ['-p', join(folder, 'keepalived.pid'), '-r', join(folder, 'vrrp.pid')];
    const command = [tool('keepalived'), '--dont-fork', '--log-console', '--vrrp', '-f', file, ...pids];
    return new Keepalived(await machine.start(command, 'Entering BACKUP STATE'));
  }

  /** Waits for a state of a family, in a line behind the first `skip`. */
  entered(state: 'MASTER' | 'BACKUP', family: Family, skip = 0): Promise<string> {
    return this.daemon.line(`(family${family}) Entering ${state} STATE`, skip);
  }
}

function configurationOf({ device, vrid, priority, addresses, preempt }: KeepalivedOptions): string {
  const families = [...new Set(addresses.map(familyOf))];
  const instance = (family: Family) => `vrrp_instance family${family} {
  ${family === 6 ? 'native_ipv6' : ''}
  state BACKUP
  ${preempt ? '' : 'nopreempt'}
  interface ${device}
  virtual_router_id ${vrid}
  priority ${priority}
  advert_int 0.1
  virtual_ipaddress {
    ${addresses.filter((address) => familyOf(address) === family).join('\n    ')}
  }
}
`;
  return `global_defs {\n  vrrp_version 3\n}\n${families.map(instance).join('')}`;
}
