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

use super::echo::incoming;

/// The longest message, bytes.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// The most messages of one member on their way at once.
const MOST_AT_ONCE: usize = 16;
/// Someone who does not take a message for so long does not get it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest name of a room, bytes.
const LONGEST_NAME: usize = 64;

/// Who is where. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rooms: HashMap<String, HashMap<u64, Session>>,
    next_member: u64,
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
        let member = self.enter(&session, room);
        let streams = incoming(async || session.accept_uni().await)
            .for_each_concurrent(MOST_AT_ONCE, |message| pass_on(&member, message));
        let datagrams = async {
            let mut datagrams = session.datagrams();
            while let Ok(payload) = datagrams.recv().await {
                for other in member.others() {
                    let _ = other.datagrams().send(payload.clone());
                }
            }
        };
        join(streams, datagrams).await;
    }

    fn enter(&self, session: &Session, room: String) -> Member {
        let mut inner = self.lock();
        let number = inner.next_member;
        inner.next_member += 1;
        inner.rooms.entry(room.clone()).or_default().insert(number, session.clone());
        drop(inner);
        Member { rooms: self.clone(), room, number }
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
    fn others(&self) -> Vec<Session> {
        let inner = self.rooms.lock();
        let members = inner.rooms.get(&self.room).into_iter().flatten();
        members.filter(|(number, _)| **number != self.number).map(|(_, session)| session.clone()).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inner = self.rooms.lock();
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
    let deliveries = member.others().into_iter().map(|other| {
        let message = message.clone();
        tokio::time::timeout(PATIENCE, async move { deliver(&other, message).await })
    });
    join_all(deliveries).await;
}

async fn deliver(other: &Session, message: Bytes) {
    let Ok(mut stream) = other.open_uni().await else { return };
    if stream.write_bytes(message).await.is_ok() {
        let _ = stream.finish().await;
    }
}
