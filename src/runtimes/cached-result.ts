import { isObject } from '../base/is-object.ts';
import { capability } from '../cni/annotations.ts';

/**
 * libcni's memory of an attachment: a file in `results` of its cache folder (libcni/api.go, cachedInfo). It holds every
 * capability that the runtime has, asked for or not.
 */
export interface CachedResult {
  readonly containerId: string;
  readonly ifname: string;
  readonly network: string;
  /** CNI_ARGS as they were. */
  readonly args: string;
  readonly annotations: unknown;
  /** The result of the whole chain. */
  readonly result: unknown;
}

/** Reads such a file; `undefined` when it is none, is from before libcni 0.8, or was not written to its end. */
export function readCachedResult(text: string): CachedResult | undefined {
  const { kind, containerId, ifName, networkName, cniArgs, capabilityArgs, result } = objectIn(text);
  const names = [containerId, ifName, networkName];
  if (kind !== 'cniCacheV1' || !names.every((name) => typeof name === 'string') || !isObject(result)) return undefined;
  return {
    containerId: String(containerId),
    ifname: String(ifName),
    network: String(networkName),
    args: Array.isArray(cniArgs) ? cniArgs.map((pair) => [pair].flat().join('=')).join(';') : '',
    annotations: isObject(capabilityArgs) ? capabilityArgs[capability] : undefined,
    result,
  };
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
