/** What is in the folder of a data folder that the node's agent alone writes to. */
export type AgentFile = 'agent.json' | 'elections.json' | 'objects.json' | 'labels.sock' | 'lock';

/** The folder itself. */
export const agentFolderIn = (dataDir: string): string => `${dataDir.replace(/\/+$/, '')}/agent`;

/** The path of one of its files. */
export const agentFileIn = (dataDir: string, file: AgentFile): string => `${agentFolderIn(dataDir)}/${file}`;
