/** What the SDK needs of a browser's WebTransport: the class, and what it makes. */

/** A stream whose bytes go both ways. */
export interface TwoWay {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

export interface WebTransportLike {
  readonly ready: Promise<unknown>;
  /** Rejects where the connection is lost without a word. */
  readonly closed: Promise<{ closeCode?: number | undefined; reason?: string | undefined }>;
  readonly datagrams: {
    readonly maxDatagramSize: number;
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
    /** In place of `writable`, in later browsers. */
    createWritable?(): WritableStream<Uint8Array>;
  };
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  createBidirectionalStream(): Promise<TwoWay>;
  close(): void;
}

/** How to make one. */
export type WebTransportConstructor = new (
  url: string,
  options: { serverCertificateHashes?: { algorithm: string; value: BufferSource }[] },
) => WebTransportLike;
