/** What a server's model is announced as. Pure. */
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions } from '../backend.ts';
import { servedModel } from '../served.ts';
import type { Server } from './server.ts';

type Found = Pick<ServedModel, 'contextLength' | 'prefillTokensPerSecond'> &
  Partial<Pick<ServedModel, 'decodeTokensPerSecond' | 'structuredOutput' | 'resumes' | 'embeddingDimensions'>>;

export function servedBy({ name, tokenizerDigest }: Server, options: LoadOptions, found: Found): ServedModel {
  return servedModel(options, { engine: 'openai', engineVersion: name, tokenizerDigest, ...found });
}
