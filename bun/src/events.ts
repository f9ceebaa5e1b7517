/** The numbers of `lorraine.h` that cross the bridge. A test compares them with the header. */

export const EVENT_REQUEST = 1;
export const EVENT_SESSION_REQUEST = 2;
export const EVENT_READABLE = 3;
export const EVENT_WRITABLE = 4;
export const EVENT_ENDED = 5;
export const EVENT_SESSION_OPEN = 6;
export const EVENT_SESSION_CLOSED = 7;
export const EVENT_SESSION_DRAINING = 8;
export const EVENT_STREAM = 9;
export const EVENT_STREAM_OPEN = 10;
export const EVENT_STREAM_STOPPED = 11;
export const EVENT_STREAM_RESET = 12;
export const EVENT_DATAGRAM = 13;
export const EVENT_STOPPED = 14;

export const FLAG_HAS_BODY = 1;
export const FLAG_EARLY_DATA = 2;
export const FLAG_BIDIRECTIONAL = 4;
export const FLAG_BY_US = 8;
export const FLAG_LOST = 16;

export const RESPOND_STREAM = 1;
export const RESPOND_RELEASE = 2;

export const COMMAND_RESPOND = 1;
export const COMMAND_DATAGRAM = 2;

/** Bytes of an event and of a command, before what follows them. */
export const EVENT_SIZE = 48;
export const COMMAND_SIZE = 32;
