// Regenerates proto/gen from the .proto files: TypeScript by ts-proto and the descriptor set that reflection serves.
import { execFileSync } from 'node:child_process';

const root = new URL('..', import.meta.url).pathname;
const buf = (...args) => execFileSync('node_modules/.bin/buf', args, { cwd: root, stdio: 'inherit' });

buf('generate', '--template', 'proto/buf.gen.yaml', '--include-imports');
buf('build', '-o', 'proto/gen/descriptors.binpb', '--exclude-source-info');
