import { clusterTest } from '../cluster-api.ts';
import { missingForRuntime, tool } from '../tools.ts';

const programs = ['kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'] as const;

/** Why no whole cluster can be made here, or `undefined` when one can. */
function missing(): string | undefined {
  const absent = programs.filter((name) => !isThere(name));
  const reason = absent.length > 0 ? `${absent.join(', ')} not built: "sh install/tools.sh cluster"` : undefined;
  return missingForRuntime() ?? reason;
}

function isThere(name: string): boolean {
  try {
    return tool(`kubernetes/${name}`) !== '';
  } catch {
    return false;
  }
}

/** Options of every test with a whole cluster. */
export const wholeClusterTest = { ...clusterTest, skip: clusterTest.skip || (missing() ?? false) };
