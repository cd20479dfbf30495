/**
 * An engine with a gRPC server right before it, as a client would reach it without a mesh, and as a plain proxy is put
 * before it. Arguments: `replay RATE SLOTS` or `llama-cpp MODEL SLOTS`.
 */

import type { ModelSpec, Run } from '../../../nodes/backends/backend.ts';
import type { BackendName } from '../../../nodes/engine/index.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { deltaMessage } from '../../../nodes/frame.ts';
import { openModelStore } from '../../../nodes/index.ts';
import {
  ChatRequest,
  ChatResponse,
  EmbedRequest,
  EmbedResponse,
  ExplainRequest,
  ExplainResponse,
  FeedbackRequest,
  FeedbackResponse,
  InferenceServiceService,
  ResumeRequest,
} from '../../../proto/gen/infermesh/v1/inference.ts';
import { Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../../proto/transport/framing.ts';
import { serverStream, unary } from '../../../proto/transport/handlers.ts';
import { GrpcServer } from '../../../proto/transport/server.ts';

const [name = 'replay', option = '50', slots = '2000'] = process.argv.slice(2);
const price = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
const canned = {
  name: 'canned',
  path: `replay:rate=${option}`,
  digest: '',
  sizeBytes: 0,
  tier: Tier.TIER_FAST,
  tasks: [],
  quantization: '',
};
const model: ModelSpec =
  name === 'replay' ? { ...canned, licence: '', contextLength: 1_048_576, price } : await openModelStore().pull(option);
const engine = createEngine(name as BackendName, { model, slots: Number(slots), threads: 1, gpuLayers: 0 });
await engine.start();

const WINDOW = 16 * 1024;

const server = new GrpcServer({ address: '127.0.0.1:0' });
server.addService(InferenceServiceService, {
  chat: serverStream(ChatRequest, 'ChatRequest', (request, stream) => {
    let paused = false;
    const { messages, maxTokens = 512 } = request;
    const run: Run = engine.generate(
      { messages, sampling: {}, maxTokens, stop: [], jsonSchema: '' },
      {
        prefilling: () => {},
        delta: (seq, tokens, text, tokenIds) => {
          stream.write(deltaMessage(seq, tokens, text, tokenIds), stream.held > WINDOW / 4);
          if (stream.held >= WINDOW && !paused) {
            paused = true;
            run.pause();
          }
        },
        end: (outcome) => {
          if (outcome.type === 'finish') {
            const { reason, usage } = outcome;
            const value = { reason, usage, migrations: 0 };
            stream.write(framed(ChatResponse.encode(ChatResponse.fromPartial({ event: { $case: 'finished', value } })).finish()));
          }
          stream.end();
        },
      },
    );
    stream.onRelease = () => {
      if (!paused || stream.held > WINDOW / 2) return;
      paused = false;
      run.resume();
    };
    stream.onGone = () => run.cancel();
  }),
  // Nobody calls these here.
  resume: serverStream(ResumeRequest, 'ResumeRequest', (_request, stream) => stream.end()),
  feedback: unary(FeedbackRequest, FeedbackResponse, 'FeedbackRequest', () => FeedbackResponse.create()),
  embed: unary(EmbedRequest, EmbedResponse, 'EmbedRequest', () => EmbedResponse.create()),
  batch: { kind: 'bidi', handle: (call) => call.end() },
  explain: unary(ExplainRequest, ExplainResponse, 'ExplainRequest', () => ExplainResponse.create()),
});
const port = await server.listen();
process.send?.({ type: 'ready', address: `127.0.0.1:${port}` });
const stop = async () => {
  await engine.dispose();
  process.exit();
};
process.once('disconnect', stop);
process.once('SIGTERM', stop);
