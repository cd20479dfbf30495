/** Evidence that a service keeps in the mesh for its later requests. */
import { checkDeleteEvidence, checkGetEvidence, checkPutEvidence } from '../proto/contract/evidence.ts';
import type { Chunk, DeleteEvidenceResponse, GetEvidenceResponse, PutEvidenceResponse } from '../proto/gen/infermesh/v1/cache.ts';
import { DeleteEvidenceRequest, GetEvidenceRequest, PutEvidenceRequest } from '../proto/gen/infermesh/v1/cache.ts';
import type { Start } from './router.ts';

export type EvidenceChunk = Pick<Chunk, 'text'> & Partial<Chunk>;

export interface FoundEvidence {
  readonly chunks: readonly Readonly<Chunk>[];
  /** Milliseconds since it was put. */
  readonly ageMs: number;
}

type Ask = <T>(start: Start<T>) => Promise<T>;

/** A value may be gone before its time: what is not found is to be had again where it came from. */
export class EvidenceStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /**
   * @param key 1 to 1,024 bytes: what it was retrieved for
   * @param chunks 1 to 1,024, together at most 1 MiB
   * @param options `ttlSeconds`: 1 to 86,400; absent: 1,800
   * @throws Fault
   */
  async put(key: string, chunks: readonly EvidenceChunk[], { ttlSeconds }: { readonly ttlSeconds?: number } = {}): Promise<void> {
    const evidence = { chunks: [...chunks] };
    const request = checkPutEvidence(
      PutEvidenceRequest.fromPartial({ key, evidence, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) }),
    );
    await this.#ask<PutEvidenceResponse>(({ cache }, ...call) => cache.putEvidence(request, ...call));
  }

  /** @returns undefined when it is not there @throws Fault */
  async get(key: string): Promise<FoundEvidence | undefined> {
    const [found] = await this.getAll([key]);
    return found;
  }

  /**
   * @param keys 1 to 64, whose evidence has at most 3 MiB together
   * @returns as many as keys, in their order; undefined for what is not there
   * @throws Fault
   */
  async getAll(keys: readonly string[]): Promise<(FoundEvidence | undefined)[]> {
    const request = checkGetEvidence(GetEvidenceRequest.fromPartial({ keys: [...keys] }));
    const { found } = await this.#ask<GetEvidenceResponse>(({ cache }, ...call) => cache.getEvidence(request, ...call));
    return found.map(({ evidence, ageMs }) => evidence && { chunks: evidence.chunks, ageMs });
  }

  /** @returns whether it was there @throws Fault */
  async delete(key: string): Promise<boolean> {
    const request = checkDeleteEvidence(DeleteEvidenceRequest.fromPartial({ key }));
    return (await this.#ask<DeleteEvidenceResponse>(({ cache }, ...call) => cache.deleteEvidence(request, ...call))).existed;
  }
}
