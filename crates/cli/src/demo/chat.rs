//! `/wt/chat/:room`: what one says goes to everyone else in the room, whichever worker serves them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::stream::StreamExt;
use http::request::Parts;
use lorraine::RequestExt;
use lorraine::webtransport::{RecvStream, Session};
use tokio::sync::Semaphore;

use super::echo::incoming;

/// The longest message, bytes.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// The most messages of one member on their way at once.
const MOST_AT_ONCE: usize = 16;
/// Someone who does not take a message for so long does not get it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most messages on their way to one member at once; one that comes beyond that does not get there.
const MOST_WAITING: usize = 64;
/// The most members of all rooms together, each in at most one.
const MOST_MEMBERS: usize = 4096;
/// The most members of a room: each message is sent to all of them.
const MOST_IN_ROOM: usize = 64;
/// What a session is closed with that found no place.
const FULL: u32 = 1;
/// The longest name of a room, bytes.
const LONGEST_NAME: usize = 64;

/// Who is where. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rooms: HashMap<String, HashMap<u64, Seat>>,
    members: usize,
    next_member: u64,
}

/// What is known of a member. Cheap to clone.
#[derive(Clone)]
struct Seat {
    session: Session,
    /// A permit for each message on its way to it.
    waiting: Arc<Semaphore>,
}

/// The room that a request names.
pub(super) fn room_name(request: &Parts) -> Result<String, String> {
    let name = request.param("room").unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(format!("the name of a room has 1 to {LONGEST_NAME} bytes, and no control characters"));
    }
    Ok(name.to_owned())
}

impl Rooms {
    /// Passes on what a new member says, until the session ends.
    pub(super) async fn join(self, session: Session, room: String) {
        let Some(member) = self.enter(&session, room) else {
            return session.close(FULL, "there is no place left in this room; try another, or later");
        };
        let streams = incoming(async || session.accept_uni().await)
            .for_each_concurrent(MOST_AT_ONCE, |message| pass_on(&member, message));
        let datagrams = async {
            let mut datagrams = session.datagrams();
            while let Ok(payload) = datagrams.recv().await {
                for other in member.others() {
                    let _ = other.session.datagrams().send(payload.clone());
                }
            }
        };
        join(streams, datagrams).await;
    }

    /// `None` when there is no place left.
    fn enter(&self, session: &Session, room: String) -> Option<Member> {
        let mut inner = self.lock();
        let in_room = inner.rooms.get(&room).map_or(0, HashMap::len);
        if inner.members == MOST_MEMBERS || in_room == MOST_IN_ROOM {
            return None;
        }
        let number = inner.next_member;
        inner.next_member += 1;
        inner.members += 1;
        let seat = Seat { session: session.clone(), waiting: Arc::new(Semaphore::new(MOST_WAITING)) };
        inner.rooms.entry(room.clone()).or_default().insert(number, seat);
        drop(inner);
        Some(Member { rooms: self.clone(), room, number })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Someone in a room, who leaves it when this is dropped.
struct Member {
    rooms: Rooms,
    room: String,
    number: u64,
}

impl Member {
    fn others(&self) -> Vec<Seat> {
        let inner = self.rooms.lock();
        let members = inner.rooms.get(&self.room).into_iter().flatten();
        members.filter(|(number, _)| **number != self.number).map(|(_, seat)| seat.clone()).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inner = self.rooms.lock();
        inner.members -= 1;
        if let Some(members) = inner.rooms.get_mut(&self.room) {
            let left = members.remove(&self.number);
            if members.is_empty() {
                inner.rooms.remove(&self.room);
            }
            // Dropping the last handle of a session asks its worker for something; not under the lock.
            drop(inner);
            drop(left);
        }
    }
}

/// One stream is one message.
async fn pass_on(member: &Member, mut message: RecvStream) {
    let Ok(message) = message.read_to_end(LONGEST_MESSAGE).await else { return };
    let deliveries = member.others().into_iter().filter_map(|other| {
        let permit = other.waiting.try_acquire_owned().ok()?;
        let message = message.clone();
        Some(tokio::time::timeout(PATIENCE, async move {
            let _permit = permit;
            deliver(&other.session, message).await;
        }))
    });
    join_all(deliveries).await;
}

async fn deliver(other: &Session, message: Bytes) {
    let Ok(mut stream) = other.open_uni().await else { return };
    if stream.write_bytes(message).await.is_ok() {
        let _ = stream.finish().await;
    }
}
