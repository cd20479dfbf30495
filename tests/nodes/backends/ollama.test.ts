import { OllamaBackend } from '../../../nodes/backends/ollama.ts';
import { backendContract } from '../../contract/backend.ts';
import { embeddingContract } from '../../contract/embeddings.ts';
import { loadOptions } from '../../contract/jobs.ts';
import { findOllama, noteOllama } from '../../support/ollama.ts';
import { FakeOllama } from '../../support/ollama-server.ts';

const live = await findOllama();
noteOllama(live);

const NOT_TOLD = {
  noResume: 'Ollama cannot go on behind the beginning of an answer',
  noTokenIds: 'Ollama tells no ids of tokens',
  noCacheCount: 'Ollama does not tell what its cache held',
  noStopReason: 'Ollama says "stop" of a stop string too',
  refusesLate: "only Ollama knows the model's tokens",
};

async function open(url: string, model: string, slots: number) {
  const backend = new OllamaBackend();
  const options = { ...loadOptions({ path: '', contextLength: 512 }, slots), gpuLayers: 'auto' as const, threads: 0 };
  const served = await backend.load({ ...options, ollama: { url, model, keepAlive: '5m' } }, () => {});
  return Object.assign(backend, { model: served });
}

async function replayed(model: string, slots: number) {
  const ollama = await FakeOllama.start();
  const backend = await open(ollama.url, model, slots);
  const dispose = async () => {
    await OllamaBackend.prototype.dispose.call(backend);
    await ollama[Symbol.asyncDispose]();
  };
  return Object.assign(backend, { dispose });
}

backendContract('ollama, replayed', { open: (slots) => replayed('qwen2.5:0.5b', slots), ...NOT_TOLD });
embeddingContract('vectors by ollama, replayed', () => replayed('all-minilm', 4));

if (typeof live !== 'string') {
  backendContract(`ollama, ${live.model} at OLLAMA_HOST`, {
    open: (slots) => open(live.url, live.model, slots),
    ...NOT_TOLD,
  });
}
