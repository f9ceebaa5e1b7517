/*
 * The few calls of libev that Lorraine needs, as plain functions.
 *
 * In ev.h watchers are structs and macros whose layout depends on how the library was configured. Here the C compiler
 * reads them from the installed header, so that the Rust side sees opaque pointers and numbers only.
 */
#include <ev.h>
#include <stdlib.h>

#if !EV_MULTIPLICITY
#error "libev was built without EV_MULTIPLICITY: a loop for each thread is needed"
#endif

#ifndef EVFLAG_NOTIMERFD
#define EVFLAG_NOTIMERFD 0
#endif

struct lorraine_ev
{
  struct ev_loop *loop;
  ev_timer timer;
};

struct lorraine_ev_watcher
{
  ev_io io; /* first, so that a pointer to it is a pointer to the whole */
  int events;
};

static void
on_io (struct ev_loop *loop, ev_io *io, int events)
{
  (void)loop;
  ((struct lorraine_ev_watcher *)io)->events |= events;
}

static void
on_timer (struct ev_loop *loop, ev_timer *timer, int events)
{
  (void)loop;
  (void)timer;
  (void)events;
}

/* NULL when there is no memory or the system refuses a loop. */
struct lorraine_ev *
lorraine_ev_new (void)
{
  struct lorraine_ev *ev = calloc (1, sizeof *ev);
  if (!ev)
    return NULL;
  /* No periodic watchers, so no timerfd to notice that the wall clock jumped; the environment does not choose. */
  ev->loop = ev_loop_new (EVFLAG_AUTO | EVFLAG_NOENV | EVFLAG_NOTIMERFD);
  if (!ev->loop)
    {
      free (ev);
      return NULL;
    }
  ev_init (&ev->timer, on_timer);
  return ev;
}

/* The watchers of this loop stay allocated; they may only be freed afterwards. */
void
lorraine_ev_free (struct lorraine_ev *ev)
{
  ev_loop_destroy (ev->loop);
  free (ev);
}

/* Blocks for at most `timeout` seconds, without end when it is negative, until a watcher has events. */
void
lorraine_ev_poll (struct lorraine_ev *ev, double timeout)
{
  if (timeout == 0.)
    {
      ev_run (ev->loop, EVRUN_NOWAIT);
      return;
    }
  if (timeout > 0.)
    {
      /* A timer counts from the time the loop last looked at the clock, which is before the caller's work. */
      ev_now_update (ev->loop);
      ev_timer_set (&ev->timer, timeout, 0.);
      ev_timer_start (ev->loop, &ev->timer);
    }
  ev_run (ev->loop, EVRUN_ONCE);
  ev_timer_stop (ev->loop, &ev->timer);
}

/* NULL when there is no memory. */
struct lorraine_ev_watcher *
lorraine_ev_watch (struct lorraine_ev *ev, int fd)
{
  struct lorraine_ev_watcher *watcher = calloc (1, sizeof *watcher);
  if (!watcher)
    return NULL;
  ev_io_init (&watcher->io, on_io, fd, EV_READ);
  ev_io_start (ev->loop, &watcher->io);
  return watcher;
}

/* Watches for reading and, when `writable` is not 0, for writing. */
void
lorraine_ev_rewatch (struct lorraine_ev *ev, struct lorraine_ev_watcher *watcher, int writable)
{
  ev_io_stop (ev->loop, &watcher->io);
  ev_io_set (&watcher->io, watcher->io.fd, writable ? EV_READ | EV_WRITE : EV_READ);
  ev_io_start (ev->loop, &watcher->io);
}

/* The events since the last call: 1 readable, 2 writable, negative when the loop lost the descriptor. */
int
lorraine_ev_take (struct lorraine_ev_watcher *watcher)
{
  int events = watcher->events;
  watcher->events = 0;
  if (events & EV_ERROR)
    return -1;
  return (events & EV_READ ? 1 : 0) | (events & EV_WRITE ? 2 : 0);
}

void
lorraine_ev_unwatch (struct lorraine_ev_watcher *watcher)
{
  free (watcher);
}
