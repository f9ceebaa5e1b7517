//! A client that its NAT has given another address keeps the path that quiche knows it by.
//!
//! quiche has a path for each pair of addresses, and each path keeps what was sent by it until it is acknowledged. What
//! was in flight to an address that is no more is declared lost only by an acknowledgement of something later on the
//! same path, and there is none: all but two packets would be missing for ever, and their streams stall. So once the
//! new path is validated (RFC 9000 §9.3) the two paths swap addresses: quiche goes on by the old path, whose packets
//! are now acknowledged or lost as ever, and what the new one has sent meanwhile was sent to where the client is.
//!
//! Only for clients that have not changed the connection ID: those did not move by themselves, and may be sent to under
//! the ID they had (RFC 9000 §9.5). The congestion window stays too, whatever has changed of the address, where
//! RFC 9000 §9.4 would have it begin anew for another host: with all that was in flight lost it is cut down anyway.

use std::net::SocketAddr;

/// A path: our address and the peer's.
pub(crate) type Pair = (SocketAddr, SocketAddr);

/// Which addresses quiche's paths stand for.
#[derive(Debug)]
pub(crate) struct Relocation {
    /// The path to stay with.
    home: Pair,
    /// Paths that stand for others' addresses: what quiche calls them, and what they are. A permutation.
    swapped: Vec<(Pair, Pair)>,
    /// Paths on which the peer goes on with the connection ID of another.
    rebound: Vec<Pair>,
    /// The one of them that was validated last; to be swapped with home when something comes by it.
    due: Option<Pair>,
}

impl Relocation {
    pub(crate) fn new(home: Pair) -> Self {
        Self { home, swapped: Vec::new(), rebound: Vec::new(), due: None }
    }

    /// What quiche calls the path with these addresses.
    pub(crate) fn path(&self, addresses: Pair) -> Pair {
        self.swapped.iter().find(|(_, real)| *real == addresses).map_or(addresses, |(path, _)| *path)
    }

    /// The addresses of what quiche calls this path.
    pub(crate) fn addresses(&self, path: Pair) -> Pair {
        self.swapped.iter().find(|(name, _)| *name == path).map_or(path, |(_, real)| *real)
    }

    /// The peer uses the same connection ID on another path.
    pub(crate) fn on_rebound(&mut self, path: Pair) {
        if !self.rebound.contains(&path) && self.rebound.len() < PATHS_MAX {
            self.rebound.push(path);
        }
    }

    /// Whether some path may be in the course of validation.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.rebound.is_empty()
    }

    /// quiche sends by this path now, which is validated. Whether it is to be swapped with home.
    pub(crate) fn on_moved(&mut self, path: Pair) -> bool {
        self.due = None;
        if path == self.home {
            return false;
        }
        if self.rebound.contains(&path) {
            self.due = Some(path);
        } else {
            self.home = path;
        }
        self.due.is_some()
    }

    /// Swaps, if something came by the path that is due; to be undone by another swap if quiche does not follow.
    pub(crate) fn begin(&mut self, path: Pair) -> bool {
        let is_due = self.due == Some(path);
        if is_due {
            self.swap(path);
        }
        is_due
    }

    /// quiche sends by this path after what came; whether it followed home.
    pub(crate) fn end(&mut self, active: Option<Pair>, path: Pair) -> bool {
        if active == Some(self.home) {
            self.due = None;
            self.rebound.retain(|rebound| *rebound != path);
            return true;
        }
        self.swap(path);
        false
    }

    fn swap(&mut self, path: Pair) {
        let (home, other) = (self.addresses(self.home), self.addresses(path));
        self.swapped.retain(|(name, _)| *name != self.home && *name != path);
        let pairs = [(self.home, other), (path, home)];
        self.swapped.extend(pairs.into_iter().filter(|(name, real)| name != real));
    }
}

/// quiche has no more paths than connection IDs.
const PATHS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(port: u16) -> Pair {
        (([192, 0, 2, 1], 443).into(), ([198, 51, 100, 1], port).into())
    }

    /// Something comes from `port`, and quiche sends by its path from now on.
    fn settle(relocation: &mut Relocation, port: u16) {
        let path = relocation.path(pair(port));
        relocation.on_rebound(path);
        assert!(relocation.on_moved(path));
        assert!(relocation.begin(relocation.path(pair(port))));
        assert_eq!(relocation.path(pair(port)), pair(1), "it comes by another path than home");
        assert!(relocation.end(Some(pair(1)), path));
        assert_eq!(relocation.addresses(pair(1)), pair(port));
    }

    #[test]
    fn home_is_wherever_the_client_is_and_names_stay_one_to_one() {
        let mut relocation = Relocation::new(pair(1));
        for port in [2, 3, 1, 4, 2, 2, 1] {
            if relocation.path(pair(port)) != pair(1) {
                settle(&mut relocation, port);
            }
            let names: Vec<_> = (1..=5).map(|port| relocation.path(pair(port))).collect();
            assert!((1..=5).all(|port| names.contains(&pair(port))), "{names:?}");
            assert!((1..=5).all(|port| relocation.addresses(relocation.path(pair(port))) == pair(port)));
        }
    }

    #[test]
    fn swap_that_quiche_does_not_follow_is_undone_and_tried_again() {
        let mut relocation = Relocation::new(pair(1));
        relocation.on_rebound(pair(2));
        relocation.on_moved(pair(2));
        assert!(relocation.begin(pair(2)));
        assert!(!relocation.end(Some(pair(2)), pair(2)));
        assert_eq!(relocation.path(pair(2)), pair(2));
        assert!(relocation.begin(pair(2)) && relocation.end(Some(pair(1)), pair(2)));
        assert_eq!((relocation.path(pair(2)), relocation.path(pair(1))), (pair(1), pair(2)));
        assert!(!relocation.begin(pair(1)));
    }

    #[test]
    fn client_that_moved_by_itself_has_a_new_home() {
        let mut relocation = Relocation::new(pair(1));
        assert!(!relocation.on_moved(pair(2)));
        assert!(!relocation.begin(pair(2)));
        relocation.on_rebound(pair(3));
        assert!(relocation.on_moved(pair(3)) && relocation.begin(pair(3)));
        assert!(relocation.end(Some(pair(2)), pair(3)));
        assert_eq!(relocation.path(pair(3)), pair(2));
        assert_eq!(relocation.path(pair(1)), pair(1));
    }
}
