/** Pulls one model as a process of its own: node pull-process.ts ROOT CATALOGUE NAME, and prints the digest. */
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import { openModelStore } from '../../../nodes/models/store.ts';

const [, , root, catalogue, name] = process.argv;
const store = openModelStore({ root, catalogue: loadCatalogue(catalogue) });
const model = await store.pull(name!);
process.stdout.write(model.digest);
