/** Lorraine for Bun: HTTP/3 and WebTransport, on native threads. */
export { BodyTooLargeError, ConnectionGoneError, StreamResetError, TimeoutError } from "./errors";
export type { Metrics, SessionStats } from "./metrics";
export { version } from "./native";
export type { Answer, Limits, PEM, ServeOptions, TLSOptions, TransportOptions } from "./options";
export type { H3Request } from "./request";
export { Response } from "./response";
export type { Handler, Method, Params, Routes } from "./routes";
export { type Doorbell, serve, Server } from "./serve";
export { type DatagramDuplex, type SendOptions, type WebTransportOptions, WebTransportSession } from "./session";
export { type BidiStream, ReceiveStream, SendStream, WebTransportError } from "./streams";
