/* The shortest server: one route with a fixed answer, which needs nothing of the program, and one that it answers.
 *
 *   scripts/ffi build && scripts/ffi examples && target/ffi/hello 4433
 */
#define _POSIX_C_SOURCE 200809L
#include <lorraine.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;
static int signals[2];

/* SIGINT and SIGTERM: the loop below hears of them by a pipe, also while it sleeps. */
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

static void answer(const lorraine_event *event)
{
    static const char headers[] = "content-type: text/plain\n";
    const uint8_t *name = NULL;
    size_t length = 0;
    char body[128] = "hello, stranger\n";

    if (lorraine_request_param(event->handle, "name", &name, &length) == LORRAINE_OK) {
        snprintf(body, sizeof body, "hello, %.*s\n", (int)(length > 64 ? 64 : length), (const char *)name);
    }
    lorraine_respond(event->handle, 200, (const uint8_t *)headers, sizeof headers - 1, (const uint8_t *)body, strlen(body),
                     LORRAINE_RESPOND_RELEASE);
}

int main(int argc, char **argv)
{
    static _Alignas(8) char buffer[64 * 1024];
    static const char text[] = "Hello, HTTP/3!\n";
    lorraine_options options = {.size = sizeof options, .port = argc > 1 ? (uint32_t)atoi(argv[1]) : 4433};
    struct sigaction action = {.sa_handler = on_signal};
    struct pollfd sources[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    uint64_t server = 0;
    int stop_asked = 0, stopped = 0;

    if (pipe(signals) != 0 || lorraine_new(&options, &server) != LORRAINE_OK) {
        return fail("the server cannot be made");
    }
    lorraine_route_static(server, "GET", "/", 200, NULL, 0, (const uint8_t *)text, sizeof text - 1);
    lorraine_route(server, "GET", "/hello/:name", 1);
    sources[0].fd = lorraine_doorbell(server);
    sources[1].fd = signals[0];
    if (sources[0].fd < 0 || lorraine_start(server) != LORRAINE_OK) {
        return fail("the server cannot start");
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("https://localhost:%d/\n", lorraine_port(server));
    fflush(stdout);
    while (!stopped) {
        int32_t count = lorraine_poll(server, buffer, sizeof buffer, 256);
        const char *at = buffer;

        for (; count > 0; count--) {
            const lorraine_event *event = (const lorraine_event *)at;
            if (event->kind == LORRAINE_EVENT_REQUEST) {
                answer(event);
            } else if (event->kind == LORRAINE_EVENT_ENDED) {
                lorraine_release(event->handle);
            } else if (event->kind == LORRAINE_EVENT_STOPPED) {
                stopped = 1;
            }
            at += event->size;
        }
        if (stopping && !stop_asked) {
            stop_asked = 1;
            lorraine_stop(server, 1000); /* What is under way has a second to finish; LORRAINE_EVENT_STOPPED follows. */
        } else if (at == buffer && !stopped && lorraine_arm(server) == 1) {
            char drop[16];
            poll(sources, stop_asked ? 1 : 2, -1);
            while (read(sources[0].fd, drop, sizeof drop) > 0) {
            }
        }
    }
    lorraine_wait(server);
    close(sources[0].fd);
    return lorraine_free(server) == LORRAINE_OK ? 0 : fail("the server cannot be freed");
}
