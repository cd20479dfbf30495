/** Packages that an install may lack. */
import { Fault } from '../../../proto/contract/faults.ts';

/** @throws Fault ENGINE_FAILED that names the package and how to get it */
export async function importOptional<Library>(name: string, load: () => Promise<Library>): Promise<Library> {
  try {
    return await load();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' ? 'which is not installed' : 'which does not load here';
    const what = `--engine onnx needs the package ${name}, ${why}: run npm ci --include=optional`;
    throw new Fault('ENGINE_FAILED', what, { cause: error });
  }
}
