/** What a look at one thing found. A warning and a fault come with the remedy, in one line. */
export type Seen =
  | { readonly status: 'ok'; readonly text: string }
  | { readonly status: 'warning' | 'fault'; readonly text: string; readonly remedy: string };

/** The same, and what was looked at. */
export type Finding = Seen & { readonly check: string };

/** It is as it should be, or nothing hangs on it. */
export const ok = (text: string): Seen => ({ status: 'ok', text });

/** It may be what somebody is looking for: nobody can tell from here. */
export const warning = (text: string, remedy: string): Seen => ({ status: 'warning', text, remedy });

/** Packets of some pod do not leave as they should, or soon will not. */
export const fault = (text: string, remedy: string): Seen => ({ status: 'fault', text, remedy });

/** What was found, or that there was nothing to find. */
export const orOk = (found: readonly Seen[], text: string): readonly Seen[] => (found.length > 0 ? found : [ok(text)]);

/** The first few of many findings that are alike, and how many more there are. */
export function few(found: readonly Seen[], most = 5): readonly Seen[] {
  const [last, more] = [found[most - 1], found.length - most];
  if (last === undefined || more <= 0) return found;
  return [...found.slice(0, most - 1), { ...last, text: `${last.text}, and ${more} more like it` }];
}
