// In what each browser differs from the drafts, measured against several servers: nothing here is a matter of Lorraine's.
// A case asks this table and nothing else about the browser that it runs in.

export const expectations = {
  chromium: {
    // Chromium 156: codes come through over all 32 bits, both in resets and in stops.
    codeSeen: (code) => code,
    // A reset of the server's is a WebTransportError with the code.
    resetHasCode: true,
    // readable.cancel() sends STOP_SENDING at once.
    sendsStop: true,
    // `protocols` and `protocol` are there.
    subprotocols: true,
  },
  firefox: {
    // Firefox ESR 153 keeps one byte of a code: what does not fit becomes 0.
    codeSeen: (code) => (code > 255 ? 0 : code),
    // A reset of the server's is a TypeError without a code: "Error in input stream".
    resetHasCode: false,
    // readable.cancel() sends nothing; the stream is stopped when the session ends, with H3_REQUEST_CANCELLED.
    sendsStop: false,
    // Firefox has them from 155 on.
    subprotocols: false,
  },
};
