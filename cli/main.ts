/** The command line under the right Node: cli/infermesh.js gets here. */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import envPaths from 'env-paths';

// Compiled code kept in the user's cache folder halves what starting a router or node costs. Where it can't, nothing changes.
enableCompileCache(join(envPaths('infermesh', { suffix: '' }).cache, 'code'));
// Failures are told in our own words; grpc-js would write its own to stderr besides.
process.env.GRPC_VERBOSITY ??= 'NONE';

// After the above, for it is about what this loads.
const { run } = await import('./program.ts');
await run(process.argv.slice(2));
