/** What of a batch's requests can be worked off, and what of them is refused. Pure. */
import { checkItemId, checkWindow } from '../../proto/contract/batch-bounds.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import { invalid, toFault } from '../../proto/contract/faults.ts';
import type { ChatRequest, EmbedRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { BatchRequest, Priority } from '../../proto/gen/infermesh/v1/inference.ts';
import { decodeRequest, stringIn } from '../../proto/transport/messages.ts';
import { targetOf } from '../request.ts';

export type Item =
  | { readonly type: 'chat'; readonly id: string; readonly chat: ChatRequest }
  | { readonly type: 'embed'; readonly id: string; readonly embed: EmbedRequest }
  /** It fails alone. */
  | { readonly type: 'refused'; readonly id: string; readonly fault: Fault };

/** Ids are known to be repeated among at least so many; a batch has no end that memory could be set aside for. */
export const IDS_REMEMBERED = 65_536;
const ID_FIELD = 1;

export class Items {
  #ids = new Set<string>();
  #olderIds = new Set<string>();
  #requests = 0;
  /** As the first request says. */
  window: number | undefined;

  /** @throws Fault INVALID_REQUEST for what ends the batch: a wrong window, or a request without an id to fail under */
  read(bytes: Buffer): Item {
    this.#requests++;
    let request: BatchRequest;
    try {
      request = decodeRequest(BatchRequest, 'BatchRequest', bytes);
    } catch (thrown) {
      const id = stringIn(bytes, ID_FIELD);
      return { type: 'refused', id: this.#checked(id), fault: toFault(thrown) };
    }
    const id = this.#checked(request.id);
    if (this.#requests === 1) this.window = checkWindow(request.window);
    const refusal = this.#refusal(request);
    return refusal ? { type: 'refused', id, fault: refusal } : itemOf(request);
  }

  /** @throws Fault INVALID_REQUEST */
  #checked(id: string): string {
    try {
      return checkItemId(id);
    } catch (thrown) {
      const { violations } = toFault(thrown);
      throw invalid(violations.map((one) => ({ ...one, description: `${one.description} in request ${this.#requests}` })));
    }
  }

  #refusal({ id, item, window }: BatchRequest): Fault | undefined {
    if (this.#isRepeated(id)) {
      return invalid([{ field: 'id', description: 'must be once in a batch, received one that was there before' }]);
    }
    if (window !== undefined && this.#requests > 1) {
      return invalid([{ field: 'window', description: `must be in the first request alone, received ${window} in another` }]);
    }
    return item ? undefined : invalid([{ field: 'item', description: 'must be chat or embed, received neither' }]);
  }

  #isRepeated(id: string): boolean {
    if (this.#ids.has(id) || this.#olderIds.has(id)) return true;
    // Taking the oldest out of one set, one by one, would cost more than reading an item.
    if (this.#ids.size >= IDS_REMEMBERED) {
      this.#olderIds = this.#ids;
      this.#ids = new Set();
    }
    this.#ids.add(id);
    return false;
  }
}

/** A name for what it asks for: the same models may do all items of a kind. */
export function kindOf(item: Item): string {
  return item.type === 'chat' ? Object.values(targetOf(item.chat)).join(' ') : item.type;
}

function itemOf({ id, item }: BatchRequest): Item {
  if (item?.$case === 'embed') return { type: 'embed', id, embed: item.value };
  const chat = item?.value as ChatRequest;
  const priority = chat.priority === Priority.PRIORITY_UNSPECIFIED ? Priority.PRIORITY_LOW : chat.priority;
  return { type: 'chat', id, chat: { ...chat, priority } };
}
