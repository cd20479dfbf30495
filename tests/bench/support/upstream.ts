/**
 * What a plain proxy is put before: a gRPC server with the same replay engine that the node runs, answering each chat
 * directly. Arguments: rate slots.
 */

import type { Run } from '../../../nodes/backends/backend.ts';
import { ReplayBackend } from '../../../nodes/backends/replay.ts';
import { deltaMessage } from '../../../nodes/frame.ts';
import {
  ChatRequest,
  ChatResponse,
  ExplainRequest,
  ExplainResponse,
  InferenceServiceService,
} from '../../../proto/gen/infermesh/v1/inference.ts';
import { Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../../proto/transport/framing.ts';
import { serverStream, unary } from '../../../proto/transport/handlers.ts';
import { GrpcServer } from '../../../proto/transport/server.ts';

const [rate = '50', slots = '2000'] = process.argv.slice(2);
const price = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
const model = {
  name: 'canned',
  path: `replay:rate=${rate}`,
  digest: '',
  sizeBytes: 0,
  tier: Tier.TIER_FAST,
  tasks: [],
  quantization: '',
};
const backend = new ReplayBackend();
await backend.load(
  { model: { ...model, licence: '', contextLength: 1_048_576, price }, slots: Number(slots), threads: 0, gpuLayers: 0 },
  () => {},
);

const WINDOW = 16 * 1024;

const server = new GrpcServer({ address: '127.0.0.1:0' });
server.addService(InferenceServiceService, {
  chat: serverStream(ChatRequest, 'ChatRequest', (request, stream) => {
    let paused = false;
    const { messages, maxTokens = 512 } = request;
    const run: Run = backend.generate(
      { messages, sampling: {}, maxTokens, stop: [], jsonSchema: '' },
      {
        prefilling: () => {},
        delta: (seq, tokens, text) => {
          stream.write(deltaMessage(seq, tokens, text), stream.held > WINDOW / 4);
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
  explain: unary(ExplainRequest, ExplainResponse, 'ExplainRequest', () => ExplainResponse.create()),
});
const port = await server.listen();
process.send?.({ type: 'ready', address: `127.0.0.1:${port}` });
process.on('disconnect', () => process.exit());
