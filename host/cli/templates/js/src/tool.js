// The tool as the component model sees it. The host has checked the arguments against the schema below.
import { count } from './count.js';

const tools = [
  {
    name: '{{snake}}',
    description: 'Counts the lines, words and bytes of a text.',
    category: 'read', // read, edit, execute, network or other
    parameters: {
      type: 'object',
      properties: { text: { type: 'string', description: 'The text.' } },
      required: ['text'],
      additionalProperties: false,
    },
  },
];

// Called once, when the component is installed: what models are told.
export const describe = {
  describe: () => JSON.stringify(tools),
};

// Called for each call, in a fresh instance.
export const tool = {
  call(name, args) {
    if (name !== '{{snake}}') {
      const failure = { kind: 'unsupported', code: 'unknown-tool', message: `there is no tool ${name}`, retryable: false };
      return { tag: 'failed', val: failure };
    }
    const { text } = JSON.parse(args);
    return { tag: 'returned', val: [{ tag: 'json', val: JSON.stringify(count(text)) }] };
  },
};
