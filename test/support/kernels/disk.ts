import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { must, run } from '../run.ts';
import { root } from '../tools.ts';

/** What a machine starts from: a release of Debian as a disk, and its kernel. Machines side by side share it, and change nothing of it. */
export interface Disk {
  /** The file system: ext4, without a table of partitions. */
  readonly image: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** In the lab's programs there is none that needs these; the kernel, and what Node is linked to. */
const furtherPackages = ['linux-image-amd64', 'kmod', 'libstdc++6'];

const cache = join(root, '.cache/kernels');

/** The disk of a release of Debian, such as `trixie`. The first time some minutes, and 3 GB for as long. */
export async function diskOf(suite: string): Promise<Disk> {
  const packages = [
    ...(await must(['sh', join(root, 'install/tools.sh'), 'packages'])).trim().split('\n'),
    ...furtherPackages,
  ];
  const folder = join(cache, `${suite}-${createHash('sha256').update(packages.join()).digest('hex').slice(0, 8)}`);
  if (!existsSync(folder)) await make(suite, packages, folder);
  return { image: join(folder, 'image'), kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd') };
}

async function make(suite: string, packages: readonly string[], folder: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, `.${suite}-`));
  const [tree, made] = [join(work, 'tree'), join(work, 'made')];
  const removeWork = () => rmSync(work, { recursive: true, force: true });
  process.on('exit', removeWork);
  console.error(`Making a disk of Debian ${suite}; this takes some minutes`);
  await must(['debootstrap', '--variant=minbase', `--include=${packages.join()}`, suite, tree, await mirror()]);
  await makeInitrd(tree);
  mkdirSync(made);
  for (const [prefix, name] of [
    ['vmlinuz-', 'kernel'],
    ['initrd.img-', 'initrd'],
  ] as const)
    copyFileSync(join(tree, 'boot', inBoot(tree, prefix)), join(made, name));
  for (const path of [
    'boot',
    'var/cache/apt',
    'var/lib/apt/lists',
    'usr/share/doc',
    'usr/share/locale',
    'usr/share/man',
  ])
    rmSync(join(tree, path), { recursive: true });
  await must(['mke2fs', '-q', '-t', 'ext4', '-d', tree, join(made, 'image'), '2G']);
  publish(made, folder);
  removeWork();
  process.off('exit', removeWork);
}

/** With the modules alone that reach the disk: in an emulated machine each megabyte more takes its time. */
async function makeInitrd(tree: string): Promise<void> {
  const folder = join(tree, 'etc/initramfs-tools');
  writeFileSync(join(folder, 'modules'), 'virtio_pci\nvirtio_blk\next4\n');
  writeFileSync(join(folder, 'conf.d/machine'), 'MODULES=list\nCOMPRESS=gzip\n');
  const version = inBoot(tree, 'vmlinuz-').replace('vmlinuz-', '');
  await must(['chroot', tree, 'update-initramfs', '-u', '-k', version]);
}

function inBoot(tree: string, prefix: string): string {
  const found = readdirSync(join(tree, 'boot')).find((name) => name.startsWith(prefix));
  if (found === undefined) throw new Error(`Debian's kernel has left no ${prefix}…`);
  return found;
}

/** Under its name stands only what is complete. Another run may have been faster: its disk is as good. */
function publish(made: string, folder: string): void {
  try {
    renameSync(made, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

/** `MIRROR` in the environment, or what apt on this machine asks for Debian's packages. */
async function mirror(): Promise<string> {
  if (process.env.MIRROR) return process.env.MIRROR;
  const { stdout } = await run(['apt-get', 'indextargets', '--format', '$(LABEL) $(REPO_URI)', 'Created-By: Packages']);
  const found = /^Debian (\S+)$/m.exec(stdout)?.[1];
  if (found === undefined)
    throw new Error('apt knows no mirror of Debian here: name one in MIRROR, as http://HOST/debian');
  return found;
}
