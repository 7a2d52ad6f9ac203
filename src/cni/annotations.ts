import { EgressError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';
import { annotationPrefix, type Pod } from '../policy/match.ts';

/** The capability by which containerd (from 1.5) and CRI-O (from 1.29) pass the annotations of the pod's manifest. */
export const capability = 'io.kubernetes.cri.pod-annotations';

/**
 * The annotations in a network configuration that are meant for us, without their prefix; `undefined` when there are
 * none. A runtime may leave them out, or pass a map that Go calls nil. Throws `invalid-configuration` when they are
 * anything else than texts.
 */
export function readAnnotations({ runtimeConfig }: Readonly<Record<string, unknown>>): Pod['annotations'] {
  const annotations = objectAt('/runtimeConfig', runtimeConfig)[capability];
  const place = `/runtimeConfig/${capability}`;
  const own = Object.entries(objectAt(place, annotations)).flatMap(([key, value]) => {
    if (!key.startsWith(annotationPrefix)) return [];
    if (typeof value !== 'string') throw unexpected(`${place}/${key.replaceAll('/', '~1')}`, 'a text', value);
    return [[key.slice(annotationPrefix.length), value] as const];
  });
  return own.length > 0 ? Object.fromEntries(own) : undefined;
}

function objectAt(place: string, value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  throw unexpected(place, 'an object', value);
}

const unexpected = (pointer: string, expected: string, value: unknown): EgressError =>
  new EgressError(
    'invalid-configuration',
    `network configuration#${pointer}: expected ${expected}, got ${shown(value)}`,
  );
