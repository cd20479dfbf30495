/** Models that are here, and room for more. */
import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ModelStore } from '../../nodes/index.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import { bytes } from '../output/units.ts';
import type { Finding } from './finding.ts';
import { missing, ok, warn } from './finding.ts';

const BUNDLED = 'stories-15m';
const FIRST_FETCHED = 'tinyllama-1.1b-chat';

export async function modelsFinding(store: ModelStore): Promise<Finding> {
  const present = (await store.list()).filter(({ state }) => state === 'present').map(({ entry }) => entry);
  const here = present.map(({ name }) => name);
  if (!here.includes(BUNDLED)) {
    const advice = `${BUNDLED} comes with the repository: restore nodes/models/bundled`;
    return missing('models', here.join(', ') || 'none', { advice, essential: true });
  }
  if (present.some(({ name, tasks }) => name !== BUNDLED && !embedsOnly(tasks))) return ok('models', here.join(', '));
  return warn('models', here.join(', '), { advice: `for one that chats: infermesh models pull ${FIRST_FETCHED}` });
}

export async function roomFinding({ root, catalogue }: ModelStore): Promise<Finding> {
  const folder = await existing(root);
  const writable = await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) return warn('folder', `${root} cannot be written`, { advice: 'set INFERMESH_MODELS to a folder that can' });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${bytes(free)} free in ${root}`;
  // Its parts lie beside the whole until they are joined.
  const needed = (catalogue.models.get(FIRST_FETCHED)?.size_bytes ?? 0) * 2;
  if (free >= needed) return ok('folder', detail);
  return warn('folder', detail, { advice: `${FIRST_FETCHED} needs ${bytes(needed)}; free some, or set INFERMESH_MODELS` });
}

/** The folder itself, or the nearest above it that is there. */
async function existing(folder: string): Promise<string> {
  const found = await access(folder).then(
    () => true,
    () => false,
  );
  return found || dirname(folder) === folder ? folder : existing(dirname(folder));
}
