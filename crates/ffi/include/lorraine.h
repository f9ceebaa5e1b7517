/*
 * Lorraine: an HTTP/3 and WebTransport server.
 *
 * A server is made (lorraine_new), told its routes (lorraine_route...) and certificates, and started. Its workers run on
 * threads of their own. What they cannot answer themselves they ask of the host, by events: in batches from
 * lorraine_poll, or one by one by calls of on_event in lorraine_options. The host answers with lorraine_respond and the
 * calls beside it, or in batches with lorraine_submit.
 *
 * Handles. Servers, requests, sessions and streams are numbers, never 0 and always below 2^53. A stale or invented one
 * gives LORRAINE_ERROR_HANDLE. What the host was told of, and each stream that it opened, stays until it calls
 * lorraine_release (or answers with LORRAINE_RESPOND_RELEASE), also after its last event. Events that were told before
 * that may still wait: a host passes over those of handles that it has released.
 *
 * Threads. Every function may be called on any thread, and on several at once, unless it says otherwise. Functions of the
 * host's are called on threads of this library; they must return, not throw or jump away. After a fork() the child must
 * not call this library.
 *
 * Results. 0 or more is success. Below 0 is one of LORRAINE_AGAIN and LORRAINE_ERROR_*, and lorraine_last_error has a
 * sentence. Nothing blocks but lorraine_start, lorraine_metrics (for a moment) and lorraine_wait. Codes and flags that
 * this header does not name may come from a newer library.
 *
 * Memory. Buffers that are passed in are borrowed for the call and copied from, but for lorraine_write_owned. Strings end
 * with NUL and are UTF-8; text with a length does not end with NUL. NULL is as good as any pointer where the length is 0.
 */

#ifndef LORRAINE_H
#define LORRAINE_H

/* Made from the sources of crates/ffi by `scripts/ffi header`. Change those, not this. */

#include <stddef.h>
#include <stdint.h>

// The version of this interface. A host that was built for another major number (the upper 16 bits) must not go on; a
// higher minor number (the lower 16) only adds.
#define LORRAINE_ABI_VERSION 65536

// All is well.
#define LORRAINE_OK 0

// Not now: an event says when to try again.
#define LORRAINE_AGAIN -1

// An argument cannot be used; `lorraine_last_error` says why.
#define LORRAINE_ERROR_ARGUMENT -2

// The handle was released, belongs to something else, or never was one.
#define LORRAINE_ERROR_HANDLE -3

// The call does not fit what was called before, such as a second response.
#define LORRAINE_ERROR_STATE -4

// The peer reset the stream: what was read is not the whole.
#define LORRAINE_ERROR_RESET -5

// The peer wants no more of the stream.
#define LORRAINE_ERROR_STOPPED -6

// The client, the session or the server is gone.
#define LORRAINE_ERROR_CLOSED -7

// It does not fit: into the buffer that was given, or into a datagram.
#define LORRAINE_ERROR_TOO_LARGE -8

// The server cannot start, or take over what it was given; `lorraine_last_error` says why.
#define LORRAINE_ERROR_FAILED -9

// As many exist as may.
#define LORRAINE_ERROR_LIMIT -10

// A fault of Lorraine's own. The call had no effect that one could rely on.
#define LORRAINE_ERROR_PANIC -11

// A request for a route of the host's. `handle` is the request, `route` the number that the route was given; `code`
// holds the number of route parameters (upper 16 bits) and of field lines (lower 16). The data are lines that end with
// LF: method, path with query, authority, scheme, peer address, protocol (empty), then the parameters as `name=value`
// with percent-encoding, then the fields as `name:value`.
#define LORRAINE_EVENT_REQUEST 1

// An extended CONNECT request for a session; as `LORRAINE_EVENT_REQUEST`, with the protocol. Answer it with
// `lorraine_session_accept`, or refuse it with `lorraine_respond`.
#define LORRAINE_EVENT_SESSION_REQUEST 2

// `lorraine_read` said `LORRAINE_AGAIN`, and has something now: bytes, the end or an error.
#define LORRAINE_EVENT_READABLE 3

// `lorraine_write` took less than was offered, and takes more now.
#define LORRAINE_EVENT_WRITABLE 4

// The client of a request is gone before the host had ended its response, or a session took a stream with it that could
// still be written. Nothing follows for this handle, and none comes for a request whose response the host has ended:
// release it in either case.
#define LORRAINE_EVENT_ENDED 5

// A session that was accepted is open; the handle is that of its request. The data are the subprotocol.
#define LORRAINE_EVENT_SESSION_OPEN 6

// A session is over, with `code`; the data are the reason, in UTF-8. The last event of the session itself; its streams may
// have some to come. Release the handle, and those of its streams.
#define LORRAINE_EVENT_SESSION_CLOSED 7

// The peer of a session asks to begin nothing new in it.
#define LORRAINE_EVENT_SESSION_DRAINING 8

// The peer opened a stream: `handle`, in the session `parent`.
#define LORRAINE_EVENT_STREAM 9

// A stream that `lorraine_stream_open` asked for is open: `handle`, in the session `parent`.
#define LORRAINE_EVENT_STREAM_OPEN 10

// The peer wants no more of a stream that the host writes, with `code`. What it sends itself goes on.
#define LORRAINE_EVENT_STREAM_STOPPED 11

// The peer reset a stream that the host reads, with `code`; told when the host has read so far, and
// `LORRAINE_EVENT_READABLE` besides where it waits. The other direction goes on.
#define LORRAINE_EVENT_STREAM_RESET 12

// A datagram of the session `handle`: the data.
#define LORRAINE_EVENT_DATAGRAM 13

// The server has stopped; the last event. `code` is 0, or 1 where it died of the fault that the data tell.
#define LORRAINE_EVENT_STOPPED 14

// A connection without HTTP, of an ALPN that `lorraine_route_quic` declared, as a session; the data are the peer's
// address. `LORRAINE_EVENT_SESSION_OPEN` follows at once.
#define LORRAINE_EVENT_CONNECTION 15

// The request has a body to be read.
#define LORRAINE_FLAG_HAS_BODY 1

// The request came in early data and may be a replay (RFC 8470).
#define LORRAINE_FLAG_EARLY_DATA 2

// The stream goes both ways.
#define LORRAINE_FLAG_BIDIRECTIONAL 4

// The session was closed by this side.
#define LORRAINE_FLAG_BY_US 8

// The session was closed by neither side: its connection was lost, or the peer broke a rule. The data say how.
#define LORRAINE_FLAG_LOST 16

// Sessions are not spoken.
#define LORRAINE_OPTION_NO_WEBTRANSPORT 1

// Clients must always prove their address first (Retry), at the price of a round trip.
#define LORRAINE_OPTION_RETRY_ALWAYS 2

// Clients need never prove their address first.
#define LORRAINE_OPTION_RETRY_NEVER 4

// CUBIC (RFC 9438), the default.
#define LORRAINE_CONGESTION_CUBIC 0

// NewReno (RFC 9002).
#define LORRAINE_CONGESTION_RENO 1

// BBR version 2.
#define LORRAINE_CONGESTION_BBR2 2

// The method.
#define LORRAINE_TEXT_METHOD 0

// The path with its query, as it came.
#define LORRAINE_TEXT_PATH 1

// The host and port that were asked for.
#define LORRAINE_TEXT_AUTHORITY 2

// `https`.
#define LORRAINE_TEXT_SCHEME 3

// The client's address and port.
#define LORRAINE_TEXT_PEER 4

// The `:protocol` of an extended CONNECT request; empty for others.
#define LORRAINE_TEXT_PROTOCOL 5

// The body follows by `lorraine_write`; what is passed now is its beginning.
#define LORRAINE_RESPOND_STREAM 1

// The host lets go of the request with this call, as by `lorraine_release`. Not together with `LORRAINE_RESPOND_STREAM`.
#define LORRAINE_RESPOND_RELEASE 2

// Answers a request, as `lorraine_respond` does with `status`, `flags`, `headers_length` bytes of fields and then
// `body_length` bytes of body.
#define LORRAINE_COMMAND_RESPOND 1

// Sends a datagram of `body_length` bytes, as `lorraine_datagram_send` does.
#define LORRAINE_COMMAND_DATAGRAM 2

// Lets go of a handle, as `lorraine_release` does.
#define LORRAINE_COMMAND_RELEASE 3

// Called exactly once with each buffer that `lorraine_write_owned` took, when it is not needed any more: it was sent and
// acknowledged, or given up. On whichever thread that happens. It must not block and must not call this library.
typedef void (*lorraine_release_function)(void *context, const uint8_t *data, size_t length);

// Called when events wait for a host that sleeps, on a worker's thread. It must not block, and not set another bell.
typedef void (*lorraine_bell_function)(void *context);

// The numbers of a session and its connection. Counters of the session are 0 when it is over.
typedef struct {
    // The size of this struct, as the caller knows it, to be set before the call. A library that is older fills in what it knows.
    uint64_t size;
    // The smoothed round trip of the connection, in microseconds; 0: not known.
    uint64_t rtt_us;
    // Packets of the connection that were lost on the way to the peer.
    uint64_t packets_lost;
    // Bytes that streams of the session have sent.
    uint64_t bytes_sent;
    // Bytes that were read from streams of the session.
    uint64_t bytes_received;
    // Datagrams sent.
    uint64_t datagrams_sent;
    // Datagrams that came, those dropped among them.
    uint64_t datagrams_received;
    // Datagrams that came and gave way to later ones, since the host was behind.
    uint64_t datagrams_dropped;
    // Datagrams of the host's that gave way to later ones before they were sent.
    uint64_t datagrams_discarded;
} lorraine_session_values;

// The numbers of a server, of all its workers together. Counters begin with the server, or anew where a worker was
// replaced.
typedef struct {
    // The size of this struct, as the caller knows it, to be set before the call. A library that is older fills in what it knows.
    uint64_t size;
    // Connections that exist.
    uint64_t connections;
    // Connections accepted.
    uint64_t connections_accepted;
    // Handshakes completed.
    uint64_t connections_established;
    // Connections freed.
    uint64_t connections_freed;
    // Connections refused because there were too many.
    uint64_t connections_refused;
    // Requests whose handlers or responses are not done, of all routes.
    uint64_t requests_active;
    // Requests and sessions told to the host.
    uint64_t requests;
    // Sessions opened.
    uint64_t sessions;
    // Streams of sessions, opened by either side.
    uint64_t streams;
    // Datagrams of sessions told to the host.
    uint64_t datagrams_in;
    // Datagrams of sessions taken from the host.
    uint64_t datagrams_out;
    // Datagrams of sessions dropped because too many events waited.
    uint64_t datagrams_dropped;
    // UDP datagrams received.
    uint64_t packets_in;
    // UDP datagrams sent.
    uint64_t packets_out;
    // Bytes in those received.
    uint64_t bytes_in;
    // Bytes in those sent.
    uint64_t bytes_out;
    // Events told to the host.
    uint64_t events;
    // Times the bell rang.
    uint64_t doorbells;
    // Requests and datagrams refused because too many events waited.
    uint64_t events_refused;
    // Events in the largest batch that was polled.
    uint64_t largest_batch;
    // Handles that the host has not released.
    uint64_t handles;
    // Requests, sessions and streams turned away because there were too many handles.
    uint64_t out_of_handles;
    // Responses of a batch that could not be sent; the requests were answered with 500.
    uint64_t bad_answers;
} lorraine_metrics_values;

// Something that happened. In a buffer that `lorraine_poll` filled the next event begins `size` bytes after this one. A
// host passes over kinds that it does not know.
typedef struct {
    // `LORRAINE_EVENT_*`.
    uint32_t kind;
    // `LORRAINE_FLAG_*`, added up.
    uint32_t flags;
    // The request, session or stream that it is about; of `LORRAINE_EVENT_STOPPED` the server.
    uint64_t handle;
    // Of a stream: its session. Otherwise 0.
    uint64_t parent;
    // The number that the host gave the route: of requests, connections, and whatever concerns a session as a whole.
    uint32_t route;
    // A code of the application's, as the kind says.
    uint32_t code;
    // Bytes of data.
    uint32_t data_length;
    // Bytes from the beginning of this event to that of the next.
    uint32_t size;
    // The data; behind the event in the same buffer. During a call of an event function, valid until it returns.
    const uint8_t *data;
} lorraine_event;

// Called with each event, on the worker's thread where it happened: several threads at once where there are several
// workers. Those of one request, of one session and of its streams come on one thread, in order. It must not block; it may
// call any function of this library but `lorraine_wait` and `lorraine_metrics`.
typedef void (*lorraine_event_function)(void *context, const lorraine_event *event);

// Settings of a server. Set all to zero first, then `size`, then what is to differ from the defaults: zero and NULL stand
// for those. A library that is older than its header leaves out what it does not know.
typedef struct {
    // The size of this struct, as the caller knows it.
    uint32_t size;
    // The UDP port; 0: the system chooses.
    uint32_t port;
    // The address to listen on, as text; NULL: `::`, which is every address, IPv4 too.
    const char *address;
    // `libev`, `epoll`, `kqueue` or `io_uring`, as far as they are built in; NULL: the best that is.
    const char *event_loop;
    // Threads that serve, at most 255. 0: 1.
    uint32_t workers;
    // `LORRAINE_OPTION_*`, added up.
    uint32_t flags;
    // Silence after which a connection is given up, in ms. 0: 30,000.
    uint32_t idle_timeout_ms;
    // `LORRAINE_CONGESTION_*`.
    uint32_t congestion_control;
    // Connections that each worker keeps. 0: 65,536.
    uint32_t max_connections;
    // Sessions of one connection. 0: 16.
    uint32_t max_sessions;
    // Streams both ways that a client may have open, at most 16,383. 0: 100.
    uint32_t max_streams_bidi;
    // Streams one way that a client may have open, at most 16,383. 0: 256.
    uint32_t max_streams_uni;
    // Bytes of each body, and of each direction of a stream, that wait between worker and host. 0: 262,144.
    uint32_t body_window;
    // Bytes of events that wait for the host; past it requests are answered with 503 and datagrams are dropped. 0: 8 MiB.
    uint32_t event_bytes;
    // Requests, sessions and streams that the host may hold at once, at most 1,048,575; past it requests are answered
    // with 503 and streams are reset. 0: 65,536.
    uint32_t max_handles;
    // Must be 0.
    uint32_t reserved;
    // A directory for a qlog file of each connection; NULL: none.
    const char *qlog_dir;
    // A file for TLS secrets, in the format of SSLKEYLOGFILE; NULL: none.
    const char *key_log;
    // Called with each event, on the workers' threads. NULL: events wait for `lorraine_poll`.
    lorraine_event_function on_event;
    // Given to `on_event`.
    void *context;
} lorraine_options;

// One command of a batch. Its fields and body follow it; the next command begins `size` bytes after this one, at a
// multiple of 8.
typedef struct {
    // `LORRAINE_COMMAND_*`.
    uint32_t kind;
    // Bytes from the beginning of this command to that of the next.
    uint32_t size;
    // The request or session.
    uint64_t handle;
    // Of a response.
    uint32_t status;
    // `LORRAINE_RESPOND_*`, of a response.
    uint32_t flags;
    // Bytes of fields that follow.
    uint32_t headers_length;
    // Bytes of body that follow them.
    uint32_t body_length;
} lorraine_command;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of this interface that the library has: see `LORRAINE_ABI_VERSION`.
uint32_t lorraine_abi_version(void);

// The version of the library, such as "0.1.0". Never NULL, never to be freed.
const char *lorraine_version(void);

// The version of the QUIC transport in it, quiche. Never NULL, never to be freed.
const char *lorraine_quiche_version(void);

// Why the last call of this thread failed, as a sentence in UTF-8 without NUL, copied into `buffer` as far as it fits.
// Gives its whole length in bytes; 0: no call has failed yet. Never fails itself.
//
// # Safety
// `buffer` is NULL or points to `capacity` bytes that may be written.
size_t lorraine_last_error(char *buffer, size_t capacity);

// Lets go of a request, a session or a stream: the handle is stale from then on. What is still open behind it is given
// up: a request without a response is answered with 500, a response or stream that was not finished is reset, a body or
// stream that was not read to its end is stopped, a session is closed with code 0. Events about it that wait to be
// polled still come.
//
// Any thread. `LORRAINE_ERROR_HANDLE` for a handle that was released before.
int32_t lorraine_release(uint64_t handle);

// Notes a pointer of the host's with a request, a session or a stream, in place of the one before. It is never followed,
// and forgotten when the handle is released: what it points to is the host's to free, before that. A request that is
// accepted as a session keeps it.
//
// Any thread. `LORRAINE_ERROR_HANDLE` for a stale handle.
int32_t lorraine_set_user_data(uint64_t handle,
                               void *data);

// The pointer that was noted with a handle. NULL: none was, or the handle is stale.
//
// Any thread.
void *lorraine_user_data(uint64_t handle);

// Reads from a request's body or a stream, into `buffer`, which holds at least a byte. Gives the number of bytes; 0 is the
// end. Bytes are read from the connection only as the host reads: one that does not holds the peer back.
//
// `LORRAINE_AGAIN`: there is nothing yet; `LORRAINE_EVENT_READABLE` follows. `LORRAINE_ERROR_RESET`: the peer broke off,
// with the code that is written to `code` unless that is NULL. `LORRAINE_ERROR_CLOSED`: client or session are gone, or the
// body was malformed. `LORRAINE_ERROR_STATE`: after `lorraine_stop_sending`, or of a stream that only sends.
//
// # Safety
// `buffer` points to `capacity` bytes that may be written; `code` is NULL or may be written.
int64_t lorraine_read(uint64_t handle,
                      uint8_t *buffer,
                      size_t capacity,
                      uint32_t *code);

// Writes to a response's body or a stream; the bytes are copied. Gives how many were taken. Fewer than were offered, and
// also 0: the rest is for after `LORRAINE_EVENT_WRITABLE`. It never blocks and never holds more than the body window.
//
// `LORRAINE_ERROR_STOPPED`: the peer wants no more. `LORRAINE_ERROR_CLOSED`: client or session are gone.
// `LORRAINE_ERROR_STATE`: finished or reset before, or not answered yet.
//
// # Safety
// `data` points to `length` bytes.
int64_t lorraine_write(uint64_t handle,
                       const uint8_t *data,
                       size_t length);

// As `lorraine_write`, without a copy: all of the buffer is taken, also beyond the body window, or none of it (0) when that
// is full; and what is taken is not to be changed or freed before `release` is called with it, which may be before this
// returns. Where 0 or an error is returned, `release` is not called.
//
// # Safety
// `data` points to `length` bytes that stay as they are until `release` is called; `release` may be called with `context`
// on any thread.
int64_t lorraine_write_owned(uint64_t handle,
                             const uint8_t *data,
                             size_t length,
                             lorraine_release_function release,
                             void *context);

// Ends a response's body or a stream: the peer has the whole once it has read so far. `trailers` are `name: value` lines
// for a response, and must be empty for a stream. The handle may be released at once: what is finished still arrives. As
// `lorraine_write` otherwise.
//
// # Safety
// `trailers` points to as many bytes as are said.
int32_t lorraine_finish(uint64_t handle,
                        const uint8_t *trailers,
                        size_t trailers_length);

// Gives up a response's body or a stream: what was written may not arrive. A stream is reset with `code`, a response with
// H3_INTERNAL_ERROR. Harmless after the end.
int32_t lorraine_reset(uint64_t handle,
                       uint32_t code);

// Asks the peer to send no more of a request's body or a stream, with `code` for a stream; nothing more can be read.
int32_t lorraine_stop_sending(uint64_t handle, uint32_t code);

// Moves events that wait into `buffer`, at most `most` of them, one behind the other: the first at its beginning, the
// next `size` bytes further. Gives their number; 0: there are none. Call it again until it gives 0, or `lorraine_arm`
// says so; do other work after each batch, so that a busy server does not keep the host from it.
//
// `buffer` must be aligned to 8 bytes. 64 KiB hold every event there is; one that does not fit gives
// `LORRAINE_ERROR_TOO_LARGE` and stays. What `data` points to is in the buffer.
//
// Any thread, but one at a time sees the events in order. `LORRAINE_ERROR_STATE` where the server calls an event
// function.
//
// # Safety
// `buffer` points to `capacity` bytes that may be written.
int32_t lorraine_poll(uint64_t server, void *buffer, size_t capacity, uint32_t most);

// Says that the host goes to sleep: the next event rings its bell, once. Gives 1, or 0 where events wait already; then
// the bell does not ring, and the host polls again.
int32_t lorraine_arm(uint64_t server);

// A file descriptor that becomes readable when the bell rings: one end of a pair of stream sockets. Read and drop what
// comes, then poll. It does not block, and is the caller's to close, after `LORRAINE_EVENT_STOPPED`: where it is closed
// before, the next event that would ring stops the server, since nobody answers then. A second call makes a new one in its
// place, which does not ring for what waits already.
int32_t lorraine_doorbell(uint64_t server);

// Has a function called when the bell rings, in place of a descriptor; NULL: nothing, for a host that polls by itself.
// When this returns, the function before is not called any more.
//
// # Safety
// `function` may be called with `context` on any thread until the server has stopped or another bell was set.
int32_t lorraine_set_doorbell(uint64_t server, lorraine_bell_function function, void *context);

// Writes the numbers of a session. Waits for a turn of its worker, which is a matter of milliseconds at most; in an event
// function only where it is about the same session or a stream of it (else `LORRAINE_ERROR_STATE`).
//
// # Safety
// `stats` points to a struct of the size that it says.
int32_t lorraine_session_stats(uint64_t session,
                               lorraine_session_values *stats);

// Writes the numbers of a server. Waits for a turn of each worker, which is a matter of milliseconds at most; not from an
// event function (`LORRAINE_ERROR_STATE`). Of a server that does not run, what the workers would say is 0.
//
// # Safety
// `metrics` points to a struct of the size that it says.
int32_t lorraine_metrics(uint64_t server,
                         lorraine_metrics_values *metrics);

// A part of a request, `LORRAINE_TEXT_*`: writes where it is and how long. It does not end with NUL. Of an open session:
// of the request that asked for it.
//
// Not copied: it stays there until the handle is released. What was asked of a request for a session stays only until
// that is accepted, and is to be asked anew then. Any thread, as long as no other releases the handle meanwhile.
//
// # Safety
// `data` and `length` may be written.
int32_t lorraine_request_text(uint64_t request,
                              uint32_t which,
                              const uint8_t **data,
                              size_t *length);

// A parameter of the matched route, percent-decoded: `id` of `/users/:id`, `*` of `/files/*`. As `lorraine_request_text`;
// `LORRAINE_ERROR_ARGUMENT` where the route has none of this name.
//
// # Safety
// `name` ends with NUL; `data` and `length` may be written.
int32_t lorraine_request_param(uint64_t request,
                               const char *name,
                               const uint8_t **data,
                               size_t *length);

// The value of a field, by name in whatever case; the one with this `index` where there are several. As
// `lorraine_request_text`; `LORRAINE_ERROR_ARGUMENT` where there is none.
//
// # Safety
// `name` ends with NUL; `data` and `length` may be written.
int32_t lorraine_request_header(uint64_t request,
                                const char *name,
                                uint32_t index,
                                const uint8_t **data,
                                size_t *length);

// All of a request's fields as `name: value` lines, copied into `buffer` as far as they fit. Gives their whole length.
//
// # Safety
// `buffer` is NULL or points to `capacity` bytes that may be written.
int64_t lorraine_request_headers(uint64_t request, uint8_t *buffer, size_t capacity);

// Answers a request: a status from 200 to 599, fields as `name: value` lines, and a body, all of which are copied.
// `flags`: `LORRAINE_RESPOND_*`, added up. Length and date are added. A response without `LORRAINE_RESPOND_STREAM` is
// complete: no event follows, and the handle is to be released, by `LORRAINE_RESPOND_RELEASE` or later.
//
// `LORRAINE_ERROR_STATE` if it was answered before, `LORRAINE_ERROR_CLOSED` if the client is gone,
// `LORRAINE_ERROR_ARGUMENT` if something cannot be sent: then it is still to be answered.
//
// # Safety
// `headers` and `body` point to as many bytes as are said.
int32_t lorraine_respond(uint64_t request,
                         uint32_t status,
                         const uint8_t *headers,
                         size_t headers_length,
                         const uint8_t *body,
                         size_t body_length,
                         uint32_t flags);

// Sends an interim response before the answer, such as 103 with `link` fields (RFC 8297): a status from 100 to 199 but
// 101, and fields as `name: value` lines. Not after `lorraine_stop_sending`: then it is left out.
//
// `LORRAINE_ERROR_STATE` if the request was answered before, `LORRAINE_ERROR_CLOSED` if the client is gone,
// `LORRAINE_ERROR_ARGUMENT` if it cannot be sent, `LORRAINE_ERROR_LIMIT` if 16 wait already.
//
// # Safety
// `headers` points to as many bytes as are said.
int32_t lorraine_request_inform(uint64_t request, uint32_t status, const uint8_t *headers, size_t headers_length);

// The trailers of a request whose body was read to its end, as `name: value` lines, copied into `buffer` as far as they
// fit. Gives their whole length; 0: there are none.
//
// # Safety
// `buffer` is NULL or points to `capacity` bytes that may be written.
int64_t lorraine_request_trailers(uint64_t request, uint8_t *buffer, size_t capacity);

// Makes a server and writes its handle to `*server`. It does nothing before `lorraine_start`; `lorraine_free` ends it. At
// most 32 exist at once.
//
// # Safety
// `options` is NULL, for the defaults, or points to a struct of the size that it says. `server` points to a handle that
// may be written. The strings are only read during the call.
int32_t lorraine_new(const lorraine_options *options,
                     uint64_t *server);

// Declares a route that the host answers: events carry `route`. `method` is NULL or `*` for every method that no other
// route of the path takes; `pattern` is a path as `/users/:id` or `/files/*`, or NULL for what no route takes.
//
// Declared routes come into force together, by `lorraine_start` and `lorraine_reload_routes`; mistakes are told then.
//
// # Safety
// The strings are NULL or end with NUL.
int32_t lorraine_route(uint64_t server, const char *method, const char *pattern, uint32_t route);

// Declares a route whose response is always the same: it is answered without the host. `headers` are `name: value` lines.
// Headers and body are copied.
//
// # Safety
// The strings are NULL or end with NUL; `headers` and `body` point to as many bytes as are said.
int32_t lorraine_route_static(uint64_t server,
                              const char *method,
                              const char *pattern,
                              uint32_t status,
                              const uint8_t *headers,
                              size_t headers_length,
                              const uint8_t *body,
                              size_t body_length);

// Declares that the files beneath a directory are served below a path, without the host: ranges, conditional requests,
// types by name.
//
// # Safety
// The strings end with NUL.
int32_t lorraine_route_files(uint64_t server, const char *pattern, const char *directory);

// Declares a path at which sessions may be asked for: `protocol` is NULL for WebTransport, or another `:protocol` of
// extended CONNECT (RFC 9220) for a flow of HTTP datagrams (RFC 9297). The host hears of each with
// `LORRAINE_EVENT_SESSION_REQUEST` and decides; browsers say in `origin` on whose behalf they ask, and a page of another
// site should be let in only on purpose.
//
// # Safety
// The strings are NULL or end with NUL.
int32_t lorraine_route_session(uint64_t server,
                               const char *pattern,
                               const char *protocol,
                               uint32_t route);

// Declares an ALPN whose connections speak no HTTP: each is told with `LORRAINE_EVENT_CONNECTION`, as a session with
// streams and datagrams. Only before `lorraine_start`.
//
// # Safety
// `alpn` ends with NUL.
int32_t lorraine_route_quic(uint64_t server, const char *alpn, uint32_t route);

// Gives a certificate chain and its key, as PEM. The first is shown to clients that name no host or an unknown one, others
// where one of their names was asked for. Shown by `lorraine_start` and `lorraine_reload_tls`. Without any, a development
// certificate is made and kept between runs.
//
// # Safety
// `certificates` and `key` point to as many bytes as are said.
int32_t lorraine_add_certificate(uint64_t server,
                                 const uint8_t *certificates,
                                 size_t certificates_length,
                                 const uint8_t *key,
                                 size_t key_length);

// As `lorraine_add_certificate`, from files, which are read during the call.
//
// # Safety
// The strings end with NUL.
int32_t lorraine_add_certificate_files(uint64_t server, const char *certificates, const char *key);

// Starts to serve. Returns when every worker listens; events may come before that. `LORRAINE_ERROR_FAILED`: it could not
// be, and this server can only be freed.
int32_t lorraine_start(uint64_t server);

// The UDP port of a server that was started, also of one that has stopped.
int32_t lorraine_port(uint64_t server);

// The SHA-256 of the default certificate, for `serverCertificateHashes` of browsers.
//
// # Safety
// `hash` points to 32 bytes that may be written.
int32_t lorraine_certificate_hash(uint64_t server, uint8_t *hash);

// Puts the routes declared since the last time into force, in place of all before. Requests under way go on. On an error
// the old ones stay, and the new ones are forgotten.
int32_t lorraine_reload_routes(uint64_t server);

// Shows the certificates given since the last time to new connections; those that exist keep theirs.
int32_t lorraine_reload_tls(uint64_t server);

// Stops the server: no new connections, GOAWAY on every old one, what is under way may finish for `grace_ms`, then all is
// closed. Returns at once; `LORRAINE_EVENT_STOPPED` tells the end. Called again, the shorter time holds.
int32_t lorraine_stop(uint64_t server,
                      uint32_t grace_ms);

// Waits until the server has stopped and no function of the host's is called any more. The one call that blocks; not from
// an event function (`LORRAINE_ERROR_STATE`). A second one returns at once, and does not wait for the first.
int32_t lorraine_wait(uint64_t server);

// Ends a server: stops it at once if it runs, and makes its handle and all handles of its requests, sessions and streams
// stale. Returns at once; its threads end on their own, with calls of an event function for what ends with it. To be sure
// that no function of the host's is called any more, stop it and `lorraine_wait` first.
int32_t lorraine_free(uint64_t server);

// Stops every server of the process, as `lorraine_stop`: for a process that is about to exit.
int32_t lorraine_stop_all(uint32_t grace_ms);

// Accepts a request for a session. `LORRAINE_EVENT_SESSION_OPEN` follows, and the request's handle is then the session's; or
// `LORRAINE_EVENT_ENDED` where the client has gone away. `protocol` is one of the subprotocols that the client offers in
// `wt-available-protocols`, or NULL; `headers` are `name: value` lines for the response.
//
// # Safety
// `protocol` is NULL or ends with NUL; `headers` points to as many bytes as are said.
int32_t lorraine_session_accept(uint64_t request,
                                const char *protocol,
                                const uint8_t *headers,
                                size_t headers_length);

// Closes a session, with a code and a reason in UTF-8, cut to 1024 bytes, for the peer. Its streams are reset.
// `LORRAINE_EVENT_SESSION_CLOSED` follows, with `LORRAINE_FLAG_BY_US`. Harmless when it is over.
//
// # Safety
// `reason` points to as many bytes as are said.
int32_t lorraine_session_close(uint64_t session, uint32_t code, const uint8_t *reason, size_t reason_length);

// Asks the peer of a session to begin nothing new in it.
int32_t lorraine_session_drain(uint64_t session);

// Sends a datagram; the bytes are copied. It may be lost on the way, and gives way to later ones where too many wait.
// `LORRAINE_ERROR_TOO_LARGE` for one that fits into no packet of the connection as it was when the session opened,
// `LORRAINE_ERROR_CLOSED` when the session is over.
//
// # Safety
// `data` points to `length` bytes.
int32_t lorraine_datagram_send(uint64_t session, const uint8_t *data, size_t length);

// The longest datagram that fits, in bytes, as it was when the session opened; 0: not known yet, or the peer takes none.
int64_t lorraine_datagram_max(uint64_t session);

// Opens a stream in a session: both ways, or one way where `bidirectional` is 0. Its handle is written to `*stream` and may
// be written to at once; `LORRAINE_EVENT_STREAM_OPEN` tells when the peer has allowed it, `LORRAINE_EVENT_ENDED` that the
// session ended before. `LORRAINE_ERROR_LIMIT`: 1024 of the kind wait already, or there are no handles left.
// `LORRAINE_ERROR_STATE`: the session is a flow of datagrams, which has none.
//
// # Safety
// `stream` points to a handle that may be written.
int32_t lorraine_stream_open(uint64_t session,
                             uint32_t bidirectional,
                             uint64_t *stream);

// The ID of a stream or a session on the wire. `LORRAINE_AGAIN` for a stream that is not open yet.
int64_t lorraine_id(uint64_t handle);

// Sends a stream's bytes before those of streams of the same session with a lower order. 0 unless set; there are eight
// levels, from -4 to 3.
int32_t lorraine_stream_order(uint64_t stream, int32_t order);

// Carries out commands that lie one behind the other in `length` bytes. Gives the number of those that failed.
//
// What became stale meanwhile, because a client went away, is passed over and no failure. A response that cannot be sent
// is a failure: the request is answered with 500 in its place and released, and `lorraine_last_error` tells of the last.
// `LORRAINE_ERROR_ARGUMENT` where the bytes are no commands: those before the first bad one were carried out.
//
// `commands` need no alignment.
//
// # Safety
// `commands` points to `length` bytes.
int32_t lorraine_submit(const uint8_t *commands,
                        size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LORRAINE_H */
