import { basename, extname, join, resolve } from 'node:path';
import esbuild from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const binaryFolder = join(root, 'install', 'binary');

/** The program as files of JavaScript. */
export interface Bundle {
  /** What a runtime's call needs. The start-up snapshot is made of it. */
  readonly main: string;
  /** Name → file: what is not in `main`, and shares nothing with it. Each is compiled when it is asked for (`binary/part.cjs`). */
  readonly parts: ReadonlyMap<string, string>;
}

/** Makes {@link Bundle} in a folder: CommonJS in ASCII, in which the loaders of the two addons find them inside the binary. */
export async function bundle(folder: string, version: string): Promise<Bundle> {
  const sources = new Map<string, string>();
  const options = optionsFor(version);
  const main = join(folder, 'main.js');
  const entry = join(root, 'cmd', 'egress.ts');
  await esbuild.build({ ...options, entryPoints: [entry], outfile: main, plugins: [apart(sources)] });
  const parts = new Map([...sources.keys()].map((name) => [name, join(folder, `${name}.js`)]));
  for (const [name, source] of sources)
    await esbuild.build({ ...options, ...wrapped, entryPoints: [source], outfile: join(folder, `${name}.js`) });
  return { main, parts };
}

const optionsFor = (version: string): esbuild.BuildOptions => ({
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  supported: { 'dynamic-import': false }, // a program from a snapshot cannot import Node's own modules, only require them
  // Names stay by staying in the text: `keepNames` would make a dictionary of properties of each function in the snapshot.
  minifyWhitespace: true,
  minifySyntax: true,
  define: { EGRESS_VERSION: JSON.stringify(version) },
  alias: {
    'node-gyp-build': join(binaryFolder, 'netlink-addon.cjs'),
    koffi: join(binaryFolder, 'koffi-addon.cjs'),
  },
  logLevel: 'warning',
});

/** A part is an expression: a function of what every module of CommonJS is given. */
const wrapped: esbuild.BuildOptions = {
  banner: { js: '(function(exports,require,module,__filename,__dirname){' },
  footer: { js: '})' },
};

/** Takes what people and the agent need out of a bundle where it is imported dynamically, and writes down where its source is. */
const apart = (sources: Map<string, string>): esbuild.Plugin => ({
  name: 'apart',
  setup: (build) => {
    // What else is imported dynamically stays in the bundle, and runs when it is asked for: both sides know the same classes.
    build.onResolve({ filter: /\/operator\.ts$/ }, async ({ kind, path, resolveDir, importer }) => {
      if (kind !== 'dynamic-import') return undefined;
      const found = await build.resolve(path, { kind: 'import-statement', resolveDir, importer });
      const name = basename(found.path, extname(found.path));
      sources.set(name, found.path);
      return { path: name, namespace: 'part' };
    });
    build.onLoad({ filter: /^/, namespace: 'part' }, ({ path }) => ({
      contents: `module.exports = require('./part.cjs').load(${JSON.stringify(path)});`,
      resolveDir: binaryFolder,
    }));
  },
});
