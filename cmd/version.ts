/** The build puts the version of package.json here. */
declare const EGRESS_VERSION: string | undefined;

/** The version of this program; `0.0.0-source` when it runs from its sources. */
export const version: string = typeof EGRESS_VERSION === 'string' ? EGRESS_VERSION : '0.0.0-source';
