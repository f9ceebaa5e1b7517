/* The shortest server: one route with a fixed answer, which needs nothing of the program, and one that it answers.
 *
 *   scripts/ffi build && scripts/ffi examples && target/ffi/hello 4433
 */
#include <lorraine.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    uint64_t server = 0;
    struct pollfd bell = {.fd = -1, .events = POLLIN};

    if (lorraine_new(&options, &server) != LORRAINE_OK) {
        return fail("the server cannot be made");
    }
    lorraine_route_static(server, "GET", "/", 200, NULL, 0, (const uint8_t *)text, sizeof text - 1);
    lorraine_route(server, "GET", "/hello/:name", 1);
    bell.fd = lorraine_doorbell(server);
    if (bell.fd < 0 || lorraine_start(server) != LORRAINE_OK) {
        return fail("the server cannot start");
    }
    printf("https://localhost:%d/\n", lorraine_port(server));
    fflush(stdout);
    for (;;) {
        int32_t count = lorraine_poll(server, buffer, sizeof buffer, 256);
        const char *at = buffer;

        for (; count > 0; count--) {
            const lorraine_event *event = (const lorraine_event *)at;
            if (event->kind == LORRAINE_EVENT_REQUEST) {
                answer(event);
            } else if (event->kind == LORRAINE_EVENT_ENDED) {
                lorraine_release(event->handle);
            }
            at += event->size;
        }
        if (at == buffer && lorraine_arm(server) == 1) {
            char drop[16];
            poll(&bell, 1, -1);
            while (read(bell.fd, drop, sizeof drop) > 0) {
            }
        }
    }
}
