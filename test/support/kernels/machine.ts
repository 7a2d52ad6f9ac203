import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { endOnSignals } from '../end-on-signals.ts';
import { root, tool, toolFolder } from '../tools.ts';
import type { Disk } from './disk.ts';

/**
 * An emulated machine with Debian's kernel, for one command. It sees the repository and the tools where they are here, and cannot
 * change them. Several do not meet: each has a folder of its own, and changes to its disk are lost with it.
 */
export class Machine implements Disposable {
  /** What the command leaves in `/mnt` is here afterwards; what is put here before the start is there. */
  readonly folder: string;
  #process: ChildProcess | undefined;
  readonly #end = () => this[Symbol.dispose]();

  constructor() {
    const parent = join(root, 'dist');
    mkdirSync(parent, { recursive: true });
    removeWhatDeadRunsLeft(parent);
    this.folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`));
    process.on('exit', this.#end);
  }

  /**
   * Starts it, has it carry out a line of shell in the folder of the repository, and returns the line's exit code. With `countsInstructions`
   * it has one processor, and a second of its clock is 125 million instructions while that is not idle, however busy the host is.
   */
  async run(disk: Disk, line: string, { countsInstructions = false } = {}): Promise<number> {
    const tools = realpathSync(toolFolder);
    copyFileSync(join(import.meta.dirname, 'first.sh'), join(this.folder, 'first.sh'));
    writeFileSync(join(this.folder, 'places'), `repository=${quoted(root)}\ntools=${quoted(tools)}\n`);
    writeFileSync(join(this.folder, 'command'), `${line}\n`);
    const words = [
      ...(countsInstructions ? instructionClock : twoProcessors),
      ...emulation({ ...disk, repository: root, tools, folder: this.folder }),
    ];
    // The kernel ends it however this process ends.
    const child = spawn(tool('setpriv'), ['--pdeathsig', 'KILL', tool('qemu-system-x86_64'), ...words], {
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    this.#process = child;
    await once(child, 'close');
    const status = join(this.folder, 'status');
    if (existsSync(status)) return Number(readFileSync(status, 'utf8'));
    throw new Error(`The machine has ended before the command. Its console:\n${this.#console()}`);
  }

  #console(): string {
    const file = join(this.folder, 'console');
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(-40).join('\n') : 'nothing';
  }

  [Symbol.dispose](): void {
    this.#process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
    process.off('exit', this.#end);
  }
}

const prefix = '.machine-';

function removeWhatDeadRunsLeft(parent: string): void {
  for (const name of readdirSync(parent)) {
    const [, pid] = new RegExp(`^\\${prefix}(\\d+)-`).exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** What is before the first file that the machine reads from the run's folder. */
const begin = 'mount -t 9p -o trans=virtio,version=9p2000.L run /mnt && exec sh /mnt/first.sh';

interface Hardware extends Disk {
  readonly repository: string;
  readonly tools: string;
  readonly folder: string;
}

// Not kvm, which is not everywhere where there is a /dev/kvm.
const twoProcessors = ['-accel', 'tcg,thread=multi', '-smp', '2'];
/** An instruction takes 2^3 ns of the machine's time. */
const instructionClock = ['-accel', 'tcg,thread=single', '-smp', '1', '-icount', 'shift=3'];

/** The arguments of qemu, but for processors. */
function emulation({ image, kernel, initrd, repository, tools, folder }: Hardware): readonly string[] {
  const shared = (tag: string, path: string, more = '') => [
    '-virtfs',
    `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
  ];
  return [
    ...['-cpu', 'Nehalem', '-m', process.env.MACHINE_MEMORY ?? '3072'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd],
    '-append',
    `root=/dev/vda rw quiet no_timer_check console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on init=/bin/sh -- -c "${begin}"`,
    ...['-drive', `file=${image.replaceAll(',', ',,')},if=virtio,format=raw,snapshot=on`],
    ...shared('repository', repository, ',readonly=on'),
    ...shared('tools', tools, ',readonly=on'),
    ...shared('run', folder),
    ...['-device', 'virtio-rng-pci', '-serial', `file:${join(folder, 'console').replaceAll(',', ',,')}`],
    // What the command says, to the standard output.
    ...[
      '-device',
      'virtio-serial-pci',
      '-chardev',
      'stdio,id=said,signal=off',
      '-device',
      'virtserialport,chardev=said',
    ],
  ];
}

endOnSignals();
