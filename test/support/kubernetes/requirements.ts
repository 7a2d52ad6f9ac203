import { clusterTest } from '../cluster-api.ts';
import { missingForRuntime, missingFromKubernetes } from '../tools.ts';

const programs = ['kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'] as const;

/** Why no whole cluster can be made here, or `undefined` when one can. */
const missing = (): string | undefined => missingForRuntime() ?? missingFromKubernetes(programs);

/** Options of every test with a whole cluster. */
export const wholeClusterTest = { ...clusterTest, skip: clusterTest.skip || (missing() ?? false) };
