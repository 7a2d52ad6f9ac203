import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import esbuild from 'esbuild';

/**
 * Makes dist/egress: the bundle runs once at build time, its heap becomes a V8 start-up snapshot, and that and the two
 * native addons go into a copy of Node's own binary (a single executable application). Run by the Node of the npm
 * package `node-linux-*`, which is also the base of the binary.
 */
const root = resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';

mkdirSync(join(root, 'dist'), { recursive: true });
const work = mkdtempSync(join(root, 'dist', '.build-'));
process.env.TMPDIR = work; // pkg works below a folder named after the time: two builds at once must not meet there
try {
  const binary = await inject(await bundle(), stripped());
  verify(binary);
  renameSync(binary, join(root, 'dist', 'egress'));
  console.log(`dist/egress ${version} (${(statSync(join(root, 'dist', 'egress')).size / 1e6).toFixed(0)} MB)`);
} finally {
  rmSync(work, { recursive: true });
}

/** One CommonJS file. The loaders of the two addons are replaced by one that finds them inside the binary. */
async function bundle(): Promise<string> {
  const outfile = join(work, 'bundle.js');
  await esbuild.build({
    entryPoints: [join(root, 'cmd', 'egress.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    supported: { 'dynamic-import': false }, // a program from a snapshot cannot import Node's own modules, only require them
    minify: true,
    keepNames: true,
    define: { EGRESS_VERSION: JSON.stringify(version) },
    alias: {
      'node-gyp-build': join(root, 'install', 'binary', 'netlink-addon.cjs'),
      koffi: join(root, 'install', 'binary', 'koffi-addon.cjs'),
    },
    logLevel: 'warning',
  });
  return outfile;
}

/** A copy of Node without symbols, 20 MB smaller; as it is where there is no strip(1). */
function stripped(): string {
  const base = join(work, 'node');
  copyFileSync(join(dirname(require.resolve(`node-linux-${arch}/package.json`)), 'bin', 'node'), base);
  chmodSync(base, 0o755);
  try {
    execFileSync('strip', [base]);
  } catch {
    console.warn('strip is not installed, the binary will be 20 MB larger');
  }
  return base;
}

async function inject(bundled: string, base: string): Promise<string> {
  const output = join(work, 'egress');
  const { default: sea } = require('@yao-pkg/pkg/lib-es5/sea') as {
    default: (main: string, options: object) => Promise<void>;
  };
  await sea(bundled, {
    targets: [{ nodeRange: 'node24', platform: 'linux', arch, output }],
    nodePath: base,
    seaConfig: {
      useSnapshot: true,
      disableExperimentalSEAWarning: true,
      execArgvExtension: 'none', // the runtime's NODE_OPTIONS are not for us
      assets: {
        'netlink.node': require.resolve(`netlink/prebuilds/linux-${arch}/node.napi.node`),
        'koffi.node': require.resolve(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`),
      },
    },
  });
  return output;
}

/** A binary that cannot answer VERSION, or not load its addons, is none. */
function verify(binary: string): void {
  const run = (args: string[], env: Record<string, string>) =>
    JSON.parse(execFileSync(binary, args, { env, input: '{"cniVersion":"1.0.0"}', encoding: 'utf8', timeout: 10_000 }));
  const { supportedVersions } = run([], { CNI_COMMAND: 'VERSION' });
  const { netlink } = run(['version', '--json'], {});
  if (!supportedVersions.includes('1.1.0') || netlink !== true)
    throw new Error('The binary does not work on this machine');
}
