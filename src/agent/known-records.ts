import type { AttachmentRecord } from '../store/record.ts';
import type { Store } from '../store/store.ts';

/** The records of attachments, read again only when one of them changed: to read 250 takes longer than the rest of a page. */
export class KnownRecords {
  #state: string | undefined;
  #records: readonly AttachmentRecord[] = [];

  read(store: Store): readonly AttachmentRecord[] {
    const state = store.attachmentsState; // before they are read: what changes meanwhile is another state
    if (state === undefined || state !== this.#state) this.#records = store.list();
    this.#state = state;
    return this.#records;
  }
}
