/** The command line under the right Node: cli/infermesh.js gets here. */
import { run } from './program.ts';

await run(process.argv.slice(2));
