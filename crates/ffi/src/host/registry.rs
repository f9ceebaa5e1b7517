//! The servers of this process, by number.

use std::sync::{Arc, PoisonError, RwLock};

use super::Host;
use super::events::Events;
use super::handles::{Handle, SERVERS_MAX, next_generation};
use super::options::Options;

struct Place {
    generation: u32,
    host: Option<Arc<Host>>,
}

static PLACES: RwLock<Vec<Place>> = RwLock::new(Vec::new());

/// Makes a server. `None`: there are as many as may be.
pub(crate) fn add(options: Options, events: Events) -> Option<Arc<Host>> {
    let mut places = PLACES.write().unwrap_or_else(PoisonError::into_inner);
    let index = match places.iter().position(|place| place.host.is_none()) {
        Some(index) => index,
        None if places.len() < SERVERS_MAX => {
            places.push(Place { generation: 0, host: None });
            places.len() - 1
        }
        None => return None,
    };
    let place = &mut places[index];
    place.generation = next_generation(place.generation);
    let host = Host::new(Handle::of_server(index, place.generation), options, events);
    place.host = Some(Arc::clone(&host));
    Some(host)
}

/// The server that this is the handle of.
pub(crate) fn server(handle: Handle) -> Option<Arc<Host>> {
    if !handle.is_server() {
        return None;
    }
    owner(handle).filter(|host| host.handle == handle)
}

/// The server that a handle of whatever kind belongs to, if it is alive itself.
pub(crate) fn owner(handle: Handle) -> Option<Arc<Host>> {
    let places = PLACES.read().unwrap_or_else(PoisonError::into_inner);
    places.get(handle.server()?)?.host.clone()
}

/// Forgets a server: its handles are stale from now on.
pub(crate) fn remove(handle: Handle) -> Option<Arc<Host>> {
    let mut places = PLACES.write().unwrap_or_else(PoisonError::into_inner);
    let place = places.get_mut(handle.server()?)?;
    if !place.host.as_ref().is_some_and(|host| host.handle == handle) {
        return None;
    }
    place.host.take()
}

/// Every server there is.
pub(crate) fn all() -> Vec<Arc<Host>> {
    let places = PLACES.read().unwrap_or_else(PoisonError::into_inner);
    places.iter().filter_map(|place| place.host.clone()).collect()
}
