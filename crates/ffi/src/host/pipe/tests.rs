//! The pipes, on one thread.

use super::*;

fn read(pipe: &Inbound, capacity: usize) -> (Read, Vec<u8>) {
    let mut bytes = Vec::new();
    (pipe.read(capacity, |piece| bytes.extend_from_slice(piece)), bytes)
}

/// Fills from what is left in `source`; how often the host was told.
fn fill(pipe: &Inbound, source: &mut VecDeque<Step>) -> (Poll<Option<u32>>, usize) {
    let mut told = 0;
    let mut cx = Context::from_waker(Waker::noop());
    let poll = pipe.poll_fill(&mut cx, |_| source.pop_front().map_or(Poll::Pending, Poll::Ready), || told += 1);
    (poll, told)
}

#[test]
fn nothing_is_read_before_the_host_asks() {
    let pipe = Inbound::new(10);
    let mut source: VecDeque<_> = [Step::Data(Bytes::from("hello")), Step::End(End::Whole(None))].into();
    assert_eq!(fill(&pipe, &mut source), (Poll::Pending, 0));
    assert_eq!(source.len(), 2);
    assert_eq!(read(&pipe, 8), (Read::Again, vec![]));
    assert_eq!(fill(&pipe, &mut source), (Poll::Ready(None), 1));
    assert_eq!(read(&pipe, 3), (Read::Bytes(3), b"hel".to_vec()));
    assert_eq!(read(&pipe, 8), (Read::Bytes(2), b"lo".to_vec()));
    assert_eq!(read(&pipe, 8), (Read::End, vec![]));
}

#[test]
fn full_pipe_takes_no_more() {
    let pipe = Inbound::new(4);
    let mut source: VecDeque<_> = (0..4).map(|_| Step::Data(Bytes::from("xxx"))).collect();
    assert_eq!(read(&pipe, 1), (Read::Again, vec![]));
    assert_eq!(fill(&pipe, &mut source), (Poll::Pending, 1));
    assert_eq!(source.len(), 2, "two pieces pass the window of four bytes");
    assert_eq!(read(&pipe, 6).0, Read::Bytes(6));
    assert_eq!(fill(&pipe, &mut source), (Poll::Pending, 0));
    assert!(source.is_empty());
}

#[test]
fn abandoned_pipe_ends_its_filler_with_the_code() {
    let pipe = Inbound::new(4);
    read(&pipe, 1);
    pipe.abandon(9);
    pipe.abandon(10);
    assert_eq!(fill(&pipe, &mut VecDeque::new()), (Poll::Ready(Some(9)), 0));
}

#[test]
fn errors_come_after_the_bytes() {
    let pipe = Inbound::new(100);
    read(&pipe, 1);
    let mut source: VecDeque<_> = [Step::Data(Bytes::from("x")), Step::End(End::Reset(5))].into();
    assert_eq!(fill(&pipe, &mut source).0, Poll::Ready(None));
    assert_eq!(read(&pipe, 9).0, Read::Bytes(1));
    assert_eq!(read(&pipe, 9).0, Read::Reset(5));
}

fn next(pipe: &Outbound) -> (Poll<Next>, bool) {
    let mut told = false;
    (pipe.poll_next(&Context::from_waker(Waker::noop()), || told = true), told)
}

#[test]
fn writes_are_taken_up_to_the_window_and_told_when_half_is_free() {
    let pipe = Outbound::new(10);
    assert_eq!(pipe.write(b"01234567"), Write::Taken(8));
    assert_eq!(pipe.write(b"abc"), Write::Taken(2));
    assert_eq!(pipe.write(b"c"), Write::Taken(0));
    let (Poll::Ready(Next::Data(bytes)), true) = next(&pipe) else { panic!("small writes leave as one") };
    assert_eq!(bytes, "01234567ab");
    assert!(pipe.finish(None) && !pipe.finish(None));
    assert_eq!(pipe.write(b"x"), Write::Finished);
    assert!(matches!(next(&pipe), (Poll::Ready(Next::Finish(None)), false)));
    assert!(next(&pipe).0.is_pending());
}

#[test]
fn reset_overtakes_what_was_written() {
    let pipe = Outbound::new(10);
    pipe.write(b"data");
    pipe.finish(None);
    assert!(pipe.reset(3) && !pipe.reset(4));
    assert!(matches!(next(&pipe).0, Poll::Ready(Next::Reset(3))));
}

#[test]
fn peer_that_stops_is_told_to_the_writer() {
    let pipe = Outbound::new(10);
    pipe.close(Some(7));
    assert_eq!(pipe.write(b"x"), Write::Stopped(7));
    assert!(!pipe.finish(None));
    let pipe = Outbound::new(10);
    pipe.close(None);
    assert_eq!(pipe.write(b"x"), Write::Closed);
}

#[test]
fn owned_bytes_are_taken_whole_or_not_at_all() {
    let pipe = Outbound::new(4);
    assert!(pipe.has_room());
    pipe.append(Bytes::from("longer than four"));
    assert!(!pipe.has_room());
}

#[test]
fn nothing_is_read_from_an_abandoned_pipe() {
    let pipe = Inbound::new(100);
    read(&pipe, 1);
    let _ = fill(&pipe, &mut [Step::Data(Bytes::from("data"))].into());
    pipe.abandon(0);
    assert_eq!(read(&pipe, 9), (Read::Abandoned, vec![]));
}

#[test]
fn pipe_whose_task_is_gone_is_closed_and_tells_a_host_that_waits() {
    let pipe = Inbound::new(100);
    assert!(!pipe.close(), "nobody waits");
    assert_eq!(read(&pipe, 9).0, Read::Closed);
    let pipe = Inbound::new(100);
    read(&pipe, 9);
    assert!(pipe.close() && !pipe.close());
    // What was whole stays so.
    let pipe = Inbound::ended();
    pipe.close();
    assert_eq!(read(&pipe, 9).0, Read::End);
}

#[test]
fn letting_go_resets_what_is_not_finished() {
    let pipe = Outbound::new(10);
    pipe.write(b"data");
    pipe.let_go();
    assert!(matches!(next(&pipe).0, Poll::Ready(Next::Reset(0))));
    let pipe = Outbound::new(10);
    pipe.write(b"data");
    pipe.finish(None);
    pipe.let_go();
    assert!(matches!(next(&pipe).0, Poll::Ready(Next::Data(_))));
    assert!(matches!(next(&pipe).0, Poll::Ready(Next::Finish(None))));
    // Ended by the host, whatever becomes of it.
    pipe.close(Some(7));
    assert_eq!(pipe.write(b"x"), Write::Finished);
}
