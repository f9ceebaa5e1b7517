// In what each browser differs from the drafts, measured against several servers: nothing here is Lorraine's doing.
// The cases ask this table, and nothing else, about the browser that they run in.

export const expectations = {
  // Chromium 156
  chromium: {
    // Codes come through over all 32 bits, in resets and in stops.
    codeSeen: (code) => code,
    // A reset of the server's is told with its code.
    resetMayLackCode: false,
    // readable.cancel() sends STOP_SENDING at once.
    sendsStop: true,
    // After an empty datagram its reader tells of no other.
    readsEmptyDatagrams: false,
    readsEmptyUniStreams: true,
    // `protocols` and `protocol` are there.
    subprotocols: true,
  },
  // Firefox ESR 153
  firefox: {
    // One byte is kept of a code: what does not fit becomes 0.
    codeSeen: (code) => (code > 255 ? 0 : code),
    // A reset of the server's may be told as a TypeError without a code, "Error in input stream".
    resetMayLackCode: true,
    // readable.cancel() sends nothing; the stream is stopped when the session ends, with H3_REQUEST_CANCELLED.
    sendsStop: false,
    readsEmptyDatagrams: true,
    // A stream that ends with its head makes it close the connection with H3_GENERAL_PROTOCOL_ERROR.
    readsEmptyUniStreams: false,
    // They came with Firefox 155.
    subprotocols: false,
  },
};
