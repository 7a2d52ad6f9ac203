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
  await esbuild.build({
    ...options,
    entryPoints: [entry],
    outfile: main,
    plugins: [callsAddon, apart(sources)],
    metafile: true,
  });
  const parts = new Map([...sources.keys()].map((name) => [name, join(folder, `${name}.js`)]));
  for (const [name, source] of sources)
    await esbuild.build({
      ...options,
      ...wrapped,
      entryPoints: [source],
      outfile: join(folder, `${name}.js`),
      plugins: [callsAddon],
    });
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
  },
  logLevel: 'warning',
});

/** A part is an expression: a function of what every module of CommonJS is given. */
const wrapped: esbuild.BuildOptions = {
  banner: { js: '(function(exports,require,module,__filename,__dirname){' },
  footer: { js: '})' },
};

/** Modules that are parts where they are imported dynamically; and those that are where they are imported at all: see {@link stub}. */
const [partsOnDemand, partsBehindStubs] = [/\/operator\.ts$/, /\/(schema|record)-judge\.ts$/];

/** The addon for system calls is in the binary, and not in a file. */
const callsAddon: esbuild.Plugin = {
  name: 'calls',
  setup: (build) =>
    build.onResolve({ filter: /\/addon\.ts$/ }, () => ({ path: join(binaryFolder, 'calls-addon.cjs') })),
};

/** Takes what not every call of a runtime needs out of a bundle, and writes down where its source is. */
const apart = (sources: Map<string, string>): esbuild.Plugin => ({
  name: 'apart',
  setup: (build) => {
    const take = async (namespace: string, { path, resolveDir, importer }: esbuild.OnResolveArgs) => {
      const found = await build.resolve(path, { kind: 'require-call', resolveDir, importer });
      const name = basename(found.path, extname(found.path));
      sources.set(name, found.path);
      return { path: name, namespace };
    };
    // What else is imported dynamically stays in the bundle, and runs when it is asked for: both sides know the same classes.
    build.onResolve({ filter: partsOnDemand }, async (args) =>
      args.kind === 'dynamic-import' ? take('part', args) : undefined,
    );
    build.onResolve({ filter: partsBehindStubs }, async (args) =>
      args.kind === 'import-statement' ? take('stub', args) : undefined,
    );
    build.onLoad({ filter: /^/, namespace: 'part' }, ({ path }) => ({
      contents: `module.exports = require('./part.cjs').load(${JSON.stringify(path)});`,
      resolveDir: binaryFolder,
    }));
    build.onLoad({ filter: /^/, namespace: 'stub' }, async ({ path }) => ({
      contents: await stub(path, sources.get(path) ?? ''),
      resolveDir: binaryFolder,
    }));
    build.onEnd(({ metafile }) => requireNoSchemas(metafile));
  },
});

/** A module with the functions of a part, which is loaded when one of them is first called. */
async function stub(name: string, source: string): Promise<string> {
  const functions = Object.keys(await import(source));
  return [
    `const part = () => (part.loaded ??= require('./part.cjs').load(${JSON.stringify(name)}));`,
    ...functions.map((each) => `exports.${each} = (...given) => part().${each}(...given);`),
  ].join('\n');
}

/** Schemas took half of the snapshot's heap, which every call copies. */
function requireNoSchemas(metafile: esbuild.Metafile | undefined): void {
  const library = Object.keys(metafile?.inputs ?? {}).find((path) => /node_modules\/zod\//.test(path));
  if (library !== undefined) throw new Error(`The plugin would carry the library of schemas: it imports ${library}`);
}
