import type * as z from 'zod/mini';
import { isObject } from '../base/is-object.ts';
import { pointerOf } from './problem.ts';
import { type PolicyDocument, policyDocumentSchema } from './schema.ts';

type Listed<K extends 'nodes' | 'exits' | 'policies'> = NonNullable<PolicyDocument[K]>[number];

/** A policy document without some of its parts, required ones too. */
export interface PartialDocument {
  readonly kubernetes?: PolicyDocument['kubernetes'];
  readonly nodes?: readonly Partial<Listed<'nodes'>>[] | undefined;
  readonly tunnel?: PolicyDocument['tunnel'];
  readonly exits?: readonly Partial<Listed<'exits'>>[] | undefined;
  readonly policies?: readonly Partial<Listed<'policies'>>[] | undefined;
}

/** The valid parts of a policy document. */
export interface SoundParts {
  /** Things in lists have the places that they had. */
  readonly document: PartialDocument;
  /** JSON pointers of the other parts: invalid, required and absent, or perhaps there under a wrong name. */
  readonly lacking: readonly string[];
}

/** The valid parts of a value. Contradictions among them are told beside the mistakes of the others. */
export function soundParts(value: unknown): SoundParts {
  const lacking: string[] = [];
  const document = sound(policyDocumentSchema, value, [], (path) => lacking.push(pointerOf(path)));
  return { document: document ?? {}, lacking };
}

type Path = readonly PropertyKey[];
type Schema = z.core.$ZodTypes;

/** The value as the schema gives it back, without its wrong members; `undefined` when nothing of it can be used. */
function sound(schema: z.core.$ZodType, value: unknown, path: Path, lack: (path: Path) => void): object | undefined {
  const { def } = (schema as Schema)._zod;
  if (def.type === 'optional') return value === undefined ? undefined : sound(def.innerType, value, path, lack);
  if (def.type === 'object' && isObject(value)) return soundMembers(def.shape, value, path, lack);
  if (def.type === 'array' && isOfObjects(def.element) && Array.isArray(value)) {
    return value.map((item, i) => sound(def.element, item, [...path, i], lack) ?? {});
  }
  const { success, data } = (schema as unknown as z.ZodMiniType<object>).safeParse(value);
  if (!success) lack(path);
  return data;
}

function soundMembers(shape: Shape, value: Readonly<Record<string, unknown>>, path: Path, lack: (path: Path) => void) {
  const isStrange = Object.keys(value).some((key) => !Object.hasOwn(shape, key));
  const members = Object.entries(shape).map(([key, member]) => {
    // A member with a wrong name may be meant as any of the absent ones.
    if (isStrange && value[key] === undefined) lack([...path, key]);
    return [key, sound(member, value[key], [...path, key], lack)] as const;
  });
  return Object.fromEntries(members.filter(([, member]) => member !== undefined));
}

type Shape = Readonly<Record<string, z.core.$ZodType>>;

const isOfObjects = (element: z.core.$ZodType): boolean => (element as Schema)._zod.def.type === 'object';
