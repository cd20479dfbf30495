/** The openai backend against a server that has no model, in the forms of vLLM, llama-server and OpenAI. */
import { OpenAiBackend } from '../../../nodes/backends/openai.ts';
import { OpenAiEmbeddings } from '../../../nodes/backends/openai-embeddings.ts';
import { backendContract } from '../../contract/backend.ts';
import { embeddingContract } from '../../contract/embeddings.ts';
import { loadOptions } from '../../contract/jobs.ts';
import { findOpenAi, noteOpenAi } from '../../support/openai.ts';
import type { OpenAiServer, OpenAiServerOptions } from '../../support/openai-server.ts';
import { startOpenAiServer } from '../../support/openai-server.ts';

const live = await findOpenAi();
const liveVectors = await findOpenAi('OPENAI_EMBEDDINGS_URL');
noteOpenAi(live);

const OTHERS_QUEUE = {
  'finishes more jobs than it has slots, first come, first served': 'whom it begins with is up to the server',
};
/** It answers one request at a time, and tells less than the others. */
const LLAMA_CPP_PYTHON = {
  'ends a queued job at once when it is cancelled': 'it answers one request at a time, so that slots are not busy together',
  'refuses a prompt that is longer than the context and says by how much': 'it ends such a stream without a word',
  'ends with LENGTH where the context ends': 'it tells no usage of a stream',
  'answers an empty user message': 'it ends the stream of an empty prompt without a word',
  'holds an answer to a JSON schema': 'it drops characters that come in several tokens',
};

/** llama-server gives the same text vectors 0.001 apart, in one request even. */
const SERVERS_DIGITS = 2;

/** A backend with a server of its own, which ends with it. */
async function open(slots: number, options: OpenAiServerOptions) {
  const server = await startOpenAiServer(options);
  const backend = new OpenAiBackend();
  const model = await backend.load(optionsFor(server, slots), () => {});
  const dispose = async () => {
    await backend.dispose();
    await server[Symbol.asyncDispose]();
  };
  return {
    model,
    generate: backend.generate.bind(backend),
    currentLoad: backend.currentLoad.bind(backend),
    dispose,
  };
}

function optionsFor({ url, model }: OpenAiServer, slots = 4) {
  return { ...loadOptions({ path: '' }, slots), server: { url, model } };
}

backendContract('openai with vLLM', {
  open: (slots) => open(slots, { form: 'vllm' }),
  noStructuredResume: 'a grammar of vLLM begins anew with each request',
});

backendContract('openai with llama-server', {
  open: (slots) => open(slots, { form: 'llama-server' }),
  noTokenIds: 'llama-server tells none in this API',
  noResume: 'llama-server has no such request in this API',
});

backendContract('openai with OpenAI', {
  open: (slots) => open(slots, { form: 'openai' }),
  noTokenIds: 'OpenAI tells none',
  noResume: 'OpenAI has no such request',
});

embeddingContract('openai embeddings', async () => {
  const server = await startOpenAiServer({ form: 'openai' });
  const backend = new OpenAiEmbeddings();
  const options = optionsFor(server);
  const model = await backend.load({ ...options, model: { ...options.model, tasks: ['embed'] } }, () => {});
  const dispose = async () => {
    await backend.dispose();
    await server[Symbol.asyncDispose]();
  };
  return { model, embed: backend.embed.bind(backend), generate: backend.generate.bind(backend), dispose };
});

if (typeof live !== 'string') {
  const vllm = live.dialect === 'vllm';
  const counts = vllm || live.dialect === 'llama-server';
  backendContract(`openai with ${live.name} at OPENAI_BASE_URL`, {
    open: async (slots) => {
      const backend = new OpenAiBackend();
      return Object.assign(backend, { model: await backend.load(live.options(slots), () => {}) });
    },
    ...(vllm ? {} : { noTokenIds: 'the server tells none', noResume: 'the server has no such request' }),
    ...(counts ? {} : { noCacheCount: 'the server does not tell it' }),
    noStructuredResume: 'a grammar begins anew with each request',
    leftOut: { ...OTHERS_QUEUE, ...(live.dialect === 'llama-cpp-python' ? LLAMA_CPP_PYTHON : {}) },
  });
}

if (typeof liveVectors !== 'string') {
  embeddingContract(
    `openai embeddings with ${liveVectors.name} at OPENAI_EMBEDDINGS_URL`,
    async () => {
      const backend = new OpenAiEmbeddings();
      const options = liveVectors.options(4);
      const model = await backend.load({ ...options, model: { ...options.model, tasks: ['embed'] } }, () => {});
      return Object.assign(backend, { model });
    },
    SERVERS_DIGITS,
  );
}
