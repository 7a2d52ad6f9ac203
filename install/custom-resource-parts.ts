import type { Schema } from './custom-resources.ts';

/** Parts of custom resources that the policy file has no schema for. */

const text = (description: string): Schema => ({ type: 'string', description });
const number = (description: string): Schema => ({ type: 'integer', minimum: 0, description });
const truth = (description: string): Schema => ({ type: 'boolean', description });

const conditions: Schema = {
  type: 'array',
  description: 'What is said of the object as a whole.',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  items: {
    type: 'object',
    required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
    properties: {
      type: text('`Accepted`, or of exits `Ready`.'),
      status: { type: 'string', enum: ['True', 'False', 'Unknown'], description: 'Whether it is so.' },
      reason: text('Why, in one word.'),
      message: text('Why, in sentences.'),
      observedGeneration: {
        type: 'integer',
        format: 'int64',
        description: 'The `metadata.generation` that was judged.',
      },
      lastTransitionTime: { type: 'string', format: 'date-time', description: 'Since when `status` is what it is.' },
    },
  },
};

/** What nodes say of an object, each in an item of its own. */
const nodes = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'array',
  description: 'What nodes say: those with pods of it, and the gateways.',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  items: {
    type: 'object',
    required: ['name'],
    properties: { name: text('Name of the node.'), pods: number('Its pods on that node.'), ...properties },
  },
});

export const exitStatus: Schema = {
  type: 'object',
  description: 'What the agents know of the exit.',
  properties: {
    holder: text('The node that has the addresses of an exit with gateways.'),
    gateways: {
      type: 'array',
      description: 'Underlay addresses of the gateways, the preferred one first.',
      items: { type: 'string' },
    },
    answering: text('How many of the gateways are ready, of how many.'),
    pods: number('Pods that use the exit.'),
    nodes: nodes({
      holds: truth('The node is a gateway of the exit, and has its addresses.'),
      gateway: text('The gateway that the node sends to.'),
      answers: truth('That gateway answers.'),
      problem: text('What keeps the exit from working on the node.'),
      since: {
        type: 'string',
        format: 'date-time',
        description: 'Since when it has the addresses, or has them no more.',
      },
      why: text('Why the node has the addresses, or has them no more.'),
    }),
    conditions,
  },
};

export const policyStatus: Schema = {
  type: 'object',
  description: 'What the agents know of the policy.',
  properties: { pods: number('Pods that the policy steers.'), nodes: nodes({}), conditions },
};
