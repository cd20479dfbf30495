/** The bounds of texts that vectors are asked for, as stated in proto/infermesh/v1/inference.proto, and the check at the edge. */
import { z } from 'zod';
import type { EmbedRequest } from '../gen/infermesh/v1/inference.ts';
import { bytesOf, checked, MAX_TEXT_BYTES, MODEL_NAME, text } from './bounds.ts';
import { invalid } from './faults.ts';

const MOST_TEXTS = 1024;
/** Within what gRPC clients take in one message, which is 4 MiB unless they are told otherwise. */
const MOST_VECTOR_BYTES = 3_145_728;
const BYTES_PER_NUMBER = 4;

const embed = z.object({
  texts: z
    .array(text.min(1, 'must have at least one character'))
    .min(1, 'must be 1 to 1,024')
    .max(MOST_TEXTS, 'must be 1 to 1,024')
    .refine((all) => all.reduce((sum, one) => sum + bytesOf(one), 0) <= MAX_TEXT_BYTES, {
      error: `must have at most ${MAX_TEXT_BYTES.toLocaleString('en')} bytes together`,
    }),
  model: z
    .string()
    .refine((name) => name === '' || MODEL_NAME.test(name), 'must be a name of up to 128 letters, digits and ._:-'),
});

/** @throws Fault INVALID_REQUEST with every violation */
export function checkEmbed(request: EmbedRequest): EmbedRequest {
  return checked(embed, request);
}

/** Whether the vectors of so many texts fit into one message. @throws Fault INVALID_REQUEST */
export function checkVectors(texts: number, dimensions: number): void {
  const most = Math.floor(MOST_VECTOR_BYTES / (dimensions * BYTES_PER_NUMBER));
  if (texts <= most) return;
  const description = `must be at most ${most.toLocaleString('en')} for a model of ${dimensions} dimensions, received ${texts}`;
  throw invalid([{ field: 'texts', description }]);
}
