/** How keys begin that the CNI specification keeps for itself (SPEC.md, "Plugin configuration objects"): not ours to judge. */
export const reservedPrefix = 'cni.dev/';
