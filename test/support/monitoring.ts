import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

const folder = resolve(import.meta.dirname, '../../install/monitoring');

/** The file with the alert rules. */
export const alertsFile = join(folder, 'alerts.yaml');

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** The dashboard of Grafana. */
export const dashboard = JSON.parse(readFileSync(join(folder, 'dashboard.json'), 'utf8')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
};

/** The dashboard's queries, as Grafana asks them for all nodes and exits. */
export const dashboardQueries: readonly string[] = dashboard.panels
  .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  .map((expr) => expr.replace('$__rate_interval', '5m').replaceAll(/\$(instance|exit)\b/g, '.*'));

/** The expressions of the alert rules. */
export const alertExpressions: readonly string[] = (
  parse(readFileSync(alertsFile, 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[];
  }
).groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));

/** Names of our metrics in expressions. */
export const metricsIn = (expressions: readonly string[]): ReadonlySet<string> =>
  new Set(expressions.flatMap((expression) => expression.match(/\bcni_egress_\w+/g) ?? []));
