/** The yardstick in the same language: a proxy as one would write it with grpc-js, decoding and encoding. Argument: upstream. */
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ChatRequest, ChatResponse, ExplainRequest, ExplainResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { InferenceServiceClient, InferenceServiceService } from '../../../proto/gen/infermesh/v1/inference.ts';

const [upstream = ''] = process.argv.slice(2);
const client = new InferenceServiceClient(upstream, credentials.createInsecure());
const server = new Server();
server.addService(InferenceServiceService, {
  chat(call: ServerWritableStream<ChatRequest, ChatResponse>) {
    const source = client.chat(call.request, { deadline: call.getDeadline() });
    call.on('cancelled', () => source.cancel());
    source.on('data', (response: ChatResponse) => {
      if (!call.write(response)) {
        source.pause();
        call.once('drain', () => source.resume());
      }
    });
    source.on('error', (error) => call.emit('error', error));
    source.on('end', () => call.end());
  },
  explain(call: ServerUnaryCall<ExplainRequest, ExplainResponse>, callback: sendUnaryData<ExplainResponse>) {
    client.explain(call.request, callback);
  },
});
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ type: 'ready', address: `127.0.0.1:${port}` });
});
process.on('disconnect', () => process.exit());
