//! Interim responses, sent while the handler still works.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use lorraine_proto::message::SendFault;

use super::core::{At, Core};
use super::shared::{Command, Shared};

/// Sends interim responses on one stream, from any thread.
#[derive(Clone)]
pub(crate) struct Informer {
    at: At,
    worker: Arc<Shared>,
}

impl Informer {
    pub(crate) fn new(at: At, worker: &Arc<Shared>) -> Self {
        Self { at, worker: Arc::clone(worker) }
    }

    pub(crate) fn inform(&self, status: StatusCode, fields: HeaderMap) -> Result<(), SendFault> {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = status;
        parts.headers = fields;
        let here = Core::with(self.worker.id, |core| core.respond(self.at, &parts, &mut Bytes::new(), false));
        match here {
            Some(sent) => sent.map(drop),
            None => {
                self.worker.send(Command::Inform(self.at, Box::new(parts)));
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Informer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Informer").field("at", &self.at).finish_non_exhaustive()
    }
}
