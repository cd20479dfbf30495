/** The command line under the right Node: cli/infermesh.js gets here. */
import { run } from './program.ts';

// Failures are told in our own words; grpc-js would write its own to stderr besides.
process.env.GRPC_VERBOSITY ??= 'NONE';

await run(process.argv.slice(2));
