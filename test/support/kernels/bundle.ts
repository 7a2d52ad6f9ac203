import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import esbuild from 'esbuild';

/**
 * Makes one file of JavaScript of each file, in a folder within the repository, so that packages are found. An emulated
 * processor takes seconds to read one file of TypeScript. Returns their paths.
 */
export async function bundle(files: readonly string[], folder: string): Promise<readonly string[]> {
  const made = files.map((file, i) => join(folder, `${i}-${file.replaceAll('/', '-').replace(/\.ts$/, '.mjs')}`));
  for (const [i, outfile] of made.entries())
    await esbuild.build({
      entryPoints: files.slice(i, i + 1),
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      packages: 'external',
      plugins: [keepPlaces],
      logLevel: 'warning',
    });
  return made;
}

/** What a module knows of its place is where its source is, not where the bundle is; and only the first one is what was started. */
const keepPlaces: esbuild.Plugin = {
  name: 'keep-places',
  setup: (build) => {
    const [entry] = build.initialOptions.entryPoints as readonly string[];
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: readFileSync(path, 'utf8')
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path)))
        .replaceAll('import.meta.main', path === entry ? 'import.meta.main' : 'false'),
    }));
  },
};
