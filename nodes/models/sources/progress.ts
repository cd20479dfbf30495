/** What a pull tells while it runs. */
export interface PullProgress {
  /**
   * waiting: another process is pulling the same model. downloading: bytes come. joining: they are put together and
   * their digest is computed. verifying: weights that already lie here are read.
   */
  readonly phase: 'waiting' | 'downloading' | 'joining' | 'verifying';
  /** Of this phase. */
  readonly downloadedBytes: number;
  /** Of this phase; the best that is known so far, 0 while nothing is. */
  readonly totalBytes: number;
}

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
  /** At most about ten times a second, and at the end of every phase. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Asks the source for a newer version where the catalogue gives no digest; those that lie here are kept. */
  readonly refresh?: boolean | undefined;
}

/** What a source tells of weights before it gives them. */
export interface Offer {
  /** 64 hexadecimal digits. */
  readonly sha256: string | undefined;
  /** What will be written to the disk while they come. */
  readonly sizeBytes: number;
}

/** What a source needs to bring weights into a folder. */
export interface FetchOptions {
  /** Of the model, for messages. */
  readonly name: string;
  /** Where partial files are kept, so that the next pull goes on with them. */
  readonly folder: string;
  /** Where the weights are to lie when all is there; not yet the place they are served from. */
  readonly target: string;
  /** Exact size of the weights, where known; more than that is refused. */
  readonly sizeBytes: number | undefined;
  readonly signal: AbortSignal;
  /** Called before bytes are asked for; resolves to whether they are wanted. */
  readonly onOffer: (offer: Offer) => Promise<boolean>;
  readonly onProgress: (progress: PullProgress) => void;
}
