/* WebTransport sessions, on one thread: what comes on a stream or as a datagram goes back. A stream both ways is answered
 * on itself, a stream one way on another one. /wt/close/:code closes the session with this code.
 *
 *   target/ffi/webtransport_echo 4433 [CERTIFICATE.pem KEY.pem]
 */
#define _POSIX_C_SOURCE 200809L
#include <lorraine.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ECHO = 1, CLOSE };

/* Two handles, or one twice: noted with both. */
typedef struct {
    uint64_t in, out;
    size_t at, length; /* What of `piece` is still to be written. */
    uint8_t piece[16 * 1024];
} echo;

static volatile sig_atomic_t stopping;
static int signals[2];

static void on_signal(int number)
{
    (void)number;
    stopping = write(signals[1], "", 1) < 0 ? 2 : 1;
}

static int fail(const char *what)
{
    char why[256] = "";
    lorraine_last_error(why, sizeof why - 1);
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

/* Lets go of both streams: what is not finished is reset, and what was not read to its end is stopped. */
static void done(echo *work)
{
    lorraine_release(work->in);
    lorraine_release(work->out);
    free(work);
}

/* Reads and writes until the end, or until it has to wait for LORRAINE_EVENT_READABLE or LORRAINE_EVENT_WRITABLE. */
static void go_on(echo *work)
{
    for (;;) {
        uint32_t code = 0;
        int64_t count;

        if (work->at == work->length) {
            count = lorraine_read(work->in, work->piece, sizeof work->piece, &code);
            work->at = 0;
            work->length = count > 0 ? (size_t)count : 0;
            if (count == LORRAINE_AGAIN) {
                return;
            } else if (count == 0) {
                lorraine_finish(work->out, NULL, 0);
            } else if (count == LORRAINE_ERROR_RESET) {
                lorraine_reset(work->out, code);
            }
        } else {
            count = lorraine_write(work->out, work->piece + work->at, work->length - work->at);
            if (count == LORRAINE_ERROR_STOPPED) {
                return; /* LORRAINE_EVENT_STREAM_STOPPED has the code. */
            }
            work->at += count > 0 ? (size_t)count : 0;
            if (count >= 0 && work->at < work->length) {
                return;
            }
        }
        if (count <= 0) {
            done(work);
            return;
        }
    }
}

static void on_stream(const lorraine_event *event)
{
    echo *work = calloc(1, sizeof *work);

    if (work == NULL) {
        lorraine_release(event->handle);
        return;
    }
    work->in = work->out = event->handle;
    if (!(event->flags & LORRAINE_FLAG_BIDIRECTIONAL) &&
        lorraine_stream_open(event->parent, 0, &work->out) != LORRAINE_OK) {
        done(work);
        return;
    }
    lorraine_set_user_data(work->in, work);
    lorraine_set_user_data(work->out, work);
    go_on(work);
}

static void on_open(uint64_t session, uint32_t route)
{
    const uint8_t *text = NULL;
    size_t length = 0;
    char code[11] = "";

    if (route == CLOSE && lorraine_request_param(session, "code", &text, &length) == LORRAINE_OK && length < sizeof code) {
        memcpy(code, text, length);
        lorraine_session_close(session, (uint32_t)strtoul(code, NULL, 10), (const uint8_t *)"as you asked", 12);
    }
}

static void on_event(const lorraine_event *event)
{
    echo *work = lorraine_user_data(event->handle);

    switch (event->kind) {
    case LORRAINE_EVENT_SESSION_REQUEST: /* Here a server that knows its pages looks at the field `origin`. */
        lorraine_session_accept(event->handle, NULL, NULL, 0);
        break;
    case LORRAINE_EVENT_SESSION_OPEN: on_open(event->handle, event->route); break;
    case LORRAINE_EVENT_STREAM: on_stream(event); break;
    case LORRAINE_EVENT_DATAGRAM: lorraine_datagram_send(event->handle, event->data, event->data_length); break;
    case LORRAINE_EVENT_READABLE:
    case LORRAINE_EVENT_WRITABLE:
        if (work != NULL) {
            go_on(work);
        }
        break;
    case LORRAINE_EVENT_STREAM_STOPPED:
        if (work != NULL) {
            lorraine_stop_sending(work->in, event->code);
            done(work);
        }
        break;
    case LORRAINE_EVENT_ENDED:
        if (work != NULL) {
            done(work);
        } else {
            lorraine_release(event->handle); /* A request for a session whose client is gone. */
        }
        break;
    case LORRAINE_EVENT_SESSION_CLOSED:
        printf("closed with %u (%.*s)\n", event->code, (int)event->data_length, (const char *)event->data);
        lorraine_release(event->handle);
        break;
    default: break;
    }
}

int main(int argc, char **argv)
{
    static _Alignas(8) char buffer[64 * 1024];
    lorraine_options options = {.size = sizeof options, .port = argc > 1 ? (uint32_t)atoi(argv[1]) : 4433};
    struct sigaction action = {.sa_handler = on_signal};
    struct pollfd sources[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    uint64_t server = 0;
    int stop_asked = 0, stopped = 0;

    if (pipe(signals) != 0 || lorraine_new(&options, &server) != LORRAINE_OK) {
        return fail("the server cannot be made");
    }
    if (argc > 3 && lorraine_add_certificate_files(server, argv[2], argv[3]) != LORRAINE_OK) {
        return fail("the certificate cannot be used");
    }
    lorraine_route_session(server, "/wt/echo", NULL, ECHO);
    lorraine_route_session(server, "/wt/close/:code", NULL, CLOSE);
    lorraine_route_quic(server, "quic-echo", ECHO); /* Connections without HTTP are sessions too. */
    sources[0].fd = lorraine_doorbell(server);
    sources[1].fd = signals[0];
    if (sources[0].fd < 0 || lorraine_start(server) != LORRAINE_OK) {
        return fail("the server cannot start");
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("https://localhost:%d/wt/echo\n", lorraine_port(server));
    while (!stopped) {
        int32_t count = lorraine_poll(server, buffer, sizeof buffer, 256);
        const char *at = buffer;

        for (; count > 0; count--) {
            const lorraine_event *event = (const lorraine_event *)at;
            on_event(event);
            stopped |= event->kind == LORRAINE_EVENT_STOPPED;
            at += event->size;
        }
        if (stopping && !stop_asked) {
            stop_asked = 1;
            lorraine_stop(server, 1000);
        } else if (at == buffer && !stopped && lorraine_arm(server) == 1) {
            char drop[16];
            fflush(stdout);
            poll(sources, stop_asked ? 1 : 2, -1);
            while (read(sources[0].fd, drop, sizeof drop) > 0) {
            }
        }
    }
    lorraine_wait(server);
    close(sources[0].fd);
    return lorraine_free(server) == LORRAINE_OK ? 0 : fail("the server cannot be freed");
}
