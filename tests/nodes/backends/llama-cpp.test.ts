import { fileURLToPath } from 'node:url';
import { LlamaCppBackend } from '../../../nodes/backends/llama-cpp.ts';
import { backendContract, loadOptions } from '../../contract/backend.ts';

const path = fileURLToPath(new URL('../../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url));

backendContract('llama.cpp in this process', {
  async open(slots) {
    const backend = new LlamaCppBackend();
    const model = await backend.load(loadOptions({ path }, slots), () => {});
    return Object.assign(backend, { model });
  },
});
