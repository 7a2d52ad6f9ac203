/** All that has a name, a number or a key of ours in the kernel. */
export * from './keys.ts';
export * from './names.ts';
export * from './sets.ts';
