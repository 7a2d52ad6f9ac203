/** The versions of the CNI specification that we speak; chaining began with the first. CRI-O wants each one literally. */
export const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** The newest version, for answers to requests that name none. */
export const newestVersion = '1.1.0';

/** Whether a version is one of ours and not older than `minimum`. */
export function isAtLeast(version: string, minimum: (typeof supportedVersions)[number]): boolean {
  const versions: readonly string[] = supportedVersions;
  return versions.indexOf(version) >= versions.indexOf(minimum);
}
