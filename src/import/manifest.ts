import * as z from 'zod/mini';
import { isObject } from '../base/is-object.ts';
import { judge } from '../config/judge.ts';
import type { Problem } from '../config/problem.ts';

/** One document of a file, as its parser gave it. */
export interface Parsed {
  readonly file: string;
  /** Which document of the file it is, from 1 on. */
  readonly position: number;
  readonly value: unknown;
}

/** An object as Kubernetes keeps it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  /** Its identity: kind, namespace and name. */
  readonly identity: string;
  /** Its name in messages: file and identity. */
  readonly source: string;
  readonly name: string;
  readonly namespace?: string;
  /** The whole object without members that are null: Kubernetes takes them as absent. */
  readonly value: object;
}

/** Manifests, and the problems of other documents. */
export interface Manifests {
  readonly manifests: readonly Manifest[];
  readonly errors: readonly Problem[];
}

/** The manifests of some documents: lists unpacked, empty documents left out, none twice. */
export function manifestsOf(documents: readonly Parsed[]): Manifests {
  const judged = documents.flatMap(({ file, position, value }) =>
    unpacked(withoutNulls(value), `${file} document ${position}`).map((item) => manifestOf(file, item)),
  );
  const manifests = judged.flatMap((each) => ('manifest' in each ? each.manifest : []));
  const errors = judged.flatMap((each) => ('problems' in each ? each.problems : []));
  return { manifests, errors: [...errors, ...repeats(manifests)] };
}

/** Names as Kubernetes has them, but not how long they are: parts of the API differ in it. */
const kubernetesName = z
  .string('a name')
  .check(z.regex(/^[a-z0-9][a-z0-9.-]*$/, 'a name of lower-case letters, digits, "-" and "."'));

const head = z.object(
  {
    apiVersion: z.string('a text like "v1"'),
    kind: z.string('the kind of a Kubernetes object'),
    metadata: z.object({ name: kubernetesName, namespace: z.optional(kubernetesName) }, 'an object with a name'),
  },
  'a Kubernetes object',
);

const list = z.object({
  apiVersion: z.string(),
  kind: z.string().check(z.endsWith('List')),
  items: z.array(z.unknown()),
});

interface Item {
  /** Its name in messages before its own name is known. */
  readonly place: string;
  readonly value: unknown;
}

/** The document itself, or, of a list, its items: those of a typed list may leave their type to the list. */
function unpacked(value: unknown, place: string): Item[] {
  if (value === undefined || value === null) return [];
  const { success, data } = list.safeParse(value);
  if (!success) return [{ place, value }];
  const kind = data.kind.slice(0, -'List'.length);
  const type = kind === '' ? {} : { apiVersion: data.apiVersion, kind };
  return data.items.flatMap((item, i) =>
    unpacked(isObject(item) ? { ...type, ...item } : item, `${place} item ${i + 1}`),
  );
}

function manifestOf(file: string, { place, value }: Item) {
  const judged = judge(head, value, place);
  if ('problems' in judged) return judged;
  const { apiVersion, kind, metadata } = judged.value;
  const { name, namespace } = metadata;
  const identity = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
  const named = { name, ...(namespace !== undefined && { namespace }) };
  return { manifest: { apiVersion, kind, identity, source: `${file} ${identity}`, ...named, value: value as object } };
}

/** When an object is applied twice, the last one stays. Nobody can know which that is here. */
function repeats(manifests: readonly Manifest[]): Problem[] {
  const first = new Map<string, Manifest>();
  return manifests.flatMap((manifest) => {
    const earlier = first.get(manifest.identity);
    first.set(manifest.identity, earlier ?? manifest);
    if (earlier === undefined) return [];
    const message = `the same object is already there as ${earlier.source}: keep one of them`;
    return [{ source: manifest.source, pointer: '', message }];
  });
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}
