import type { ReadFile } from '../config/read.ts';
import { tableName } from '../nftables/object.ts';
import { fitsGlob } from '../policy/glob.ts';

/** Where distributions keep rulesets that they load at boot: nftables.service, and iptables-save of several. */
const places: readonly string[] = [
  '/etc/nftables.conf',
  '/etc/nftables.nft',
  '/etc/nftables.d/*',
  '/etc/nftables/*',
  '/etc/sysconfig/nftables.conf',
  '/etc/sysconfig/iptables',
  '/etc/sysconfig/ip6tables',
  '/etc/iptables/*',
  '/var/lib/nftables/rules-save',
];

/** A table of ours by family and name, not one that is only called alike. */
const ourTable = new RegExp(`\\b(inet|netdev)\\s+${tableName}(?![\\w.-])`);

/** Includes of includes are followed so many times. */
const deepest = 16;

/** The files that a shell's pattern for a path names; the pattern is in its last part only. */
function matching(pattern: string, filesIn: (folder: string) => readonly string[]): string[] {
  const at = pattern.lastIndexOf('/');
  const [folder, last] = [pattern.slice(0, at), pattern.slice(at + 1)];
  if (!/[*?]/.test(last)) return [pattern];
  return filesIn(folder)
    .filter((file) => fitsGlob(last, file))
    .map((file) => `${folder}/${file}`);
}

/** The files that `include "…"` of a file for nft names. */
const includesOf = (text: string): string[] =>
  [...text.matchAll(/^\s*include\s+["']([^"']+)["']/gm)].map(([, path = '']) =>
    path.startsWith('/') ? path : `/etc/${path}`,
  );

/** Files of a saved ruleset that hold our tables, with all that they include. Unreadable files hold nothing. */
export function savedWithUs(readFile: ReadFile, filesIn: (folder: string) => readonly string[]): string[] {
  const seen = new Map<string, boolean>();
  let paths = places.flatMap((place) => matching(place, filesIn));
  for (let depth = 0; depth < deepest && paths.length > 0; depth++) {
    const texts = paths
      .filter((path) => !seen.has(path))
      .map((path) => [path, readIfPossible(readFile, path)] as const);
    for (const [path, text] of texts) seen.set(path, ourTable.test(text));
    paths = texts.flatMap(([, text]) => includesOf(text).flatMap((path) => matching(path, filesIn)));
  }
  return [...seen].filter(([, holdsUs]) => holdsUs).map(([path]) => path);
}

function readIfPossible(readFile: ReadFile, path: string): string {
  try {
    return readFile(path) ?? '';
  } catch {
    return '';
  }
}

/** The warning about such a file. */
export const savedWarning = (path: string): string =>
  `${path} holds table ${tableName}, saved while pods were steered: it may not load at boot, and what it loads is outdated; save without it (conf/limits.md has the command)`;
