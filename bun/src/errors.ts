/** What requests and their bodies fail of. */

/** The peer broke a body or a stream off. */
export class StreamResetError extends Error {
  override readonly name = "StreamResetError";
  constructor(readonly code: number) {
    super(`the peer reset the stream with code ${code}`);
  }
}

/** The client is gone, or the stream is over. */
export class ConnectionGoneError extends Error {
  override readonly name = "ConnectionGoneError";
  constructor() {
    super("the client is gone, or the stream is over");
  }
}

/** A body had more bytes than `maxRequestBodySize` allows. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";
  constructor(readonly limit: number) {
    super(`the request body is longer than ${limit} bytes`);
  }
}

/** A request stood still for longer than `server.timeout` allowed it. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  constructor(readonly seconds: number) {
    super(`the request stood still for ${seconds} s`);
  }
}
