/** Data of a record as JSON has it. */
type Data = Readonly<Record<string, unknown>>;

/** Turns a record of one version into one of the next. The members of a record tell its kind. */
type Migration = (data: Data) => Data;

/**
 * From each version to the next, the first one from 1 to 2. The length of the list is our version. Whoever changes the
 * shape or the meaning of a record adds a line; then records of running pods stay readable.
 */
const migrations: readonly Migration[] = [
  (data) => data, // 2 has members more; that they are absent says that it was set up before there were any
];

/** The version that this program writes, and the newest that it reads. */
export const recordVersion = migrations.length + 1;

/** A record as this program would have written it. What is no record of an older version stays as it is. */
export function migrated(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || !('version' in value)) return value;
  const { version } = value;
  if (!Number.isInteger(version) || Number(version) < 1 || Number(version) >= recordVersion) return value;
  const data = migrations.slice(Number(version) - 1).reduce((record: Data, migrate) => migrate(record), { ...value });
  return { ...data, version: recordVersion };
}
