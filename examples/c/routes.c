/* Several routes, with functions that are called on the workers' threads: parameters, fields, bodies in both directions
 * without ever holding more than a piece, trailers.
 *
 *   target/ffi/routes 4433 [CERTIFICATE.pem KEY.pem]
 */
#define _POSIX_C_SOURCE 200809L
#include <lorraine.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELLO = 1, UPLOAD, ECHO, COUNT, NOT_FOUND };

/* A request that takes more than one call: noted with its handle. All of its events come on the same thread. */
typedef struct {
    uint32_t route;
    uint64_t done, most; /* UPLOAD: bytes read. COUNT: lines written, and how many are asked for. */
    size_t at, length;   /* What of `piece` is still to be written. */
    uint8_t piece[16 * 1024];
} job;

/* Answers and lets go. */
static void respond(uint64_t request, uint32_t status, const char *text)
{
    static const char headers[] = "content-type: text/plain\n";
    lorraine_respond(request, status, (const uint8_t *)headers, sizeof headers - 1, (const uint8_t *)text, strlen(text),
                     LORRAINE_RESPOND_RELEASE);
}

/* Lets go of a request: whatever is unfinished then is given up. */
static void done(uint64_t request, job *work)
{
    free(work);
    lorraine_release(request);
}

/* The next piece to be written: 1, or 0 at the end, or what lorraine_read said. */
static int64_t next_piece(uint64_t request, job *work)
{
    int64_t length = 0;

    if (work->route == ECHO) {
        length = lorraine_read(request, work->piece, sizeof work->piece, NULL);
    } else if (work->done < work->most) {
        length = snprintf((char *)work->piece, sizeof work->piece, "line %llu\n", (unsigned long long)++work->done);
    }
    work->at = 0;
    work->length = length > 0 ? (size_t)length : 0;
    return length > 0 ? 1 : length;
}

/* Ends the response, with the trailers of the request or with some of our own. */
static void end(uint64_t request, const job *work)
{
    uint8_t trailers[1024];
    int64_t length;

    if (work->route == ECHO) {
        length = lorraine_request_trailers(request, trailers, sizeof trailers);
    } else {
        length = snprintf((char *)trailers, sizeof trailers, "x-lines: %llu\n", (unsigned long long)work->done);
    }
    lorraine_finish(request, trailers, length > (int64_t)sizeof trailers ? 0 : (size_t)length);
}

/* Writes until the body is whole, or until it has to wait: for LORRAINE_EVENT_WRITABLE or LORRAINE_EVENT_READABLE. */
static void write_on(uint64_t request, job *work)
{
    for (;;) {
        int64_t taken = 0, more = 1;
        if (work->at == work->length) {
            more = next_piece(request, work);
        }
        if (more == LORRAINE_AGAIN) {
            return;
        }
        if (more == 0) {
            end(request, work);
        } else if (more > 0) {
            taken = lorraine_write(request, work->piece + work->at, work->length - work->at);
        }
        if (more <= 0 || taken < 0) {
            done(request, work);
            return;
        }
        work->at += (size_t)taken;
        if (work->at < work->length) {
            return;
        }
    }
}

/* Counts the bytes of an upload: only as fast as they are read here does the client send. */
static void read_on(uint64_t request, job *work)
{
    char text[64];
    int64_t length;

    while ((length = lorraine_read(request, work->piece, sizeof work->piece, NULL)) > 0) {
        work->done += (uint64_t)length;
    }
    if (length == LORRAINE_AGAIN) {
        return;
    }
    snprintf(text, sizeof text, "%llu bytes\n", (unsigned long long)work->done);
    respond(request, length == 0 ? 200 : 400, length == 0 ? text : "the upload broke off\n");
    free(work);
}

static void begin(uint64_t request, uint32_t route)
{
    job *work = calloc(1, sizeof *work);
    const uint8_t *lines = NULL;
    size_t length = 0;

    if (work == NULL) {
        respond(request, 503, "no memory\n");
        return;
    }
    work->route = route;
    lorraine_set_user_data(request, work);
    if (route == COUNT && lorraine_request_param(request, "lines", &lines, &length) == LORRAINE_OK && length < 20) {
        memcpy(work->piece, lines, length);
        work->most = strtoull((char *)work->piece, NULL, 10);
    }
    if (route == UPLOAD) {
        read_on(request, work);
    } else if (lorraine_respond(request, 200, NULL, 0, NULL, 0, LORRAINE_RESPOND_STREAM) == LORRAINE_OK) {
        write_on(request, work);
    } else {
        done(request, work);
    }
}

static void greet(uint64_t request)
{
    const uint8_t *name = NULL, *agent = (const uint8_t *)"who?";
    size_t name_length = 0, agent_length = 4;
    char text[512];

    lorraine_request_param(request, "name", &name, &name_length);
    lorraine_request_header(request, "user-agent", 0, &agent, &agent_length);
    snprintf(text, sizeof text, "hello, %.*s, by %.*s\n", (int)(name_length > 99 ? 99 : name_length), (const char *)name,
             (int)(agent_length > 99 ? 99 : agent_length), (const char *)agent);
    respond(request, 200, text);
}

static void on_event(void *context, const lorraine_event *event)
{
    job *work = lorraine_user_data(event->handle);
    (void)context;

    if (event->kind == LORRAINE_EVENT_REQUEST) {
        switch (event->route) {
        case HELLO: greet(event->handle); break;
        case NOT_FOUND: respond(event->handle, 404, "there is nothing here\n"); break;
        default: begin(event->handle, event->route); break;
        }
    } else if (event->kind == LORRAINE_EVENT_ENDED) {
        done(event->handle, work);
    } else if (work != NULL && event->kind == LORRAINE_EVENT_READABLE && work->route == UPLOAD) {
        read_on(event->handle, work);
    } else if (work != NULL && (event->kind == LORRAINE_EVENT_READABLE || event->kind == LORRAINE_EVENT_WRITABLE)) {
        write_on(event->handle, work);
    }
}

static int fail(const char *what)
{
    char why[256] = "";
    lorraine_last_error(why, sizeof why - 1);
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

int main(int argc, char **argv)
{
    lorraine_options options = {.size = sizeof options, .workers = 2, .on_event = on_event};
    sigset_t signals;
    uint64_t server = 0;
    int number = 0;

    options.port = argc > 1 ? (uint32_t)atoi(argv[1]) : 4433;
    /* Before any thread begins, so that all of them leave these signals to sigwait below. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (lorraine_new(&options, &server) != LORRAINE_OK) {
        return fail("the server cannot be made");
    }
    if (argc > 3 && lorraine_add_certificate_files(server, argv[2], argv[3]) != LORRAINE_OK) {
        return fail("the certificate cannot be used");
    }
    lorraine_route(server, "GET", "/hello/:name", HELLO);
    lorraine_route(server, "POST", "/upload", UPLOAD);
    lorraine_route(server, "POST", "/echo", ECHO);
    lorraine_route(server, "GET", "/count/:lines", COUNT);
    lorraine_route(server, NULL, NULL, NOT_FOUND);
    if (lorraine_start(server) != LORRAINE_OK) {
        return fail("the server cannot start");
    }
    printf("https://localhost:%d/\n", lorraine_port(server));
    fflush(stdout);
    sigwait(&signals, &number);
    lorraine_stop(server, 1000);
    lorraine_wait(server);
    return lorraine_free(server) == LORRAINE_OK ? 0 : fail("the server cannot be freed");
}
