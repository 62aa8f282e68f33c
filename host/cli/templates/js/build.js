// Bundles src/tool.js with SpiderMonkey into {{name}}.wasm.
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';
import { writeFile } from 'node:fs/promises';

const bundled = await build({ entryPoints: ['src/tool.js'], bundle: true, format: 'esm', write: false });
const { component } = await componentize(bundled.outputFiles[0].text, {
  witPath: 'wit/tool',
  worldName: 'described-component',
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile('{{name}}.wasm', component);
