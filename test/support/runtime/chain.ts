import { capabilities, conflist, defaultNetwork, type Json } from '../chain.ts';

/** A chain of plugins as users have it: bridge, portmap, egress, and what a test adds. */
export interface Chain {
  readonly cniVersion?: string;
  /** Keys of the chain entry of egress; `undefined` for a chain without egress. */
  readonly egress?: Json | undefined;
  /** Entries between portmap and egress. */
  readonly before?: readonly Json[];
  /** Entries behind egress. */
  readonly after?: readonly Json[];
}

/** The text of its conflist; egress has its policies in the policy file, and is told annotations. */
export function chainText({ cniVersion = '1.0.0', before = [], after = [], ...rest }: Chain): string {
  const { plugins } = JSON.parse(conflist({ ...defaultNetwork, egress: undefined })) as { plugins: readonly Json[] };
  const egress =
    'egress' in rest && rest.egress === undefined ? [] : [{ type: 'egress', capabilities, ...rest.egress }];
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  return JSON.stringify({
    cniVersion,
    name: 'cluster',
    plugins: [...plugins, portmap, ...before, ...egress, ...after],
  });
}
