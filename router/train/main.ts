/** `npm run train -- --data DIR [--out FILE] [--seed N]`: the weights that ship, again and the same. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodeWeights } from '../classify/weights.ts';
import { readDatasets, readRows } from './data.ts';
import { train } from './train.ts';

const SHIPPED = fileURLToPath(new URL('../classify/weights.bin', import.meta.url));

const { values } = parseArgs({
  options: { data: { type: 'string' }, out: { type: 'string', default: SHIPPED }, seed: { type: 'string', default: '1' } },
});
const seed = Number(values.seed);
if (values.data === undefined || !Number.isSafeInteger(seed)) {
  process.stderr.write('usage: npm run train -- --data DIR [--out FILE] [--seed N]\n');
  process.exit(2);
}
const rows = readRows(values.data);
const bytes = encodeWeights(train(rows, readDatasets(values.data), { seed }));
writeFileSync(values.out, bytes);
const digest = createHash('sha256').update(bytes).digest('hex');
process.stdout.write(`${rows.length} rows, seed ${seed} -> ${bytes.length} bytes, sha256 ${digest}\n`);
