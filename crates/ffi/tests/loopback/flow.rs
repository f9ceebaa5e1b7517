//! A host that sends back what it reads, holding no more than one piece of it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lorraine_ffi::abi::body::{lorraine_reset, lorraine_stop_sending};
use lorraine_ffi::abi::events::{
    LORRAINE_EVENT_ENDED, LORRAINE_EVENT_READABLE, LORRAINE_EVENT_STREAM_STOPPED, LORRAINE_EVENT_WRITABLE,
};
use lorraine_ffi::abi::lorraine_release;
use lorraine_ffi::abi::{LORRAINE_AGAIN, LORRAINE_ERROR_RESET, LORRAINE_ERROR_STOPPED};

use crate::calls::{self, Event};

const AGAIN: i64 = LORRAINE_AGAIN as i64;
const RESET: i64 = LORRAINE_ERROR_RESET as i64;
const STOPPED: i64 = LORRAINE_ERROR_STOPPED as i64;

/// What is read from one handle and written to another, or the same.
struct Flow {
    input: u64,
    output: u64,
    rest: Vec<u8>,
    has_trailers: bool,
}

#[derive(Default)]
pub(crate) struct Flows {
    flows: Mutex<HashMap<u64, Flow>>,
    /// Writes that took less than was offered.
    pub(crate) short: AtomicUsize,
}

enum Turn {
    Waits,
    Done,
}

impl Flows {
    pub(crate) fn echo(&self, input: u64, output: u64, has_trailers: bool) {
        let mut flow = Flow { input, output, rest: Vec::new(), has_trailers };
        if let Turn::Done = self.turn(&mut flow) {
            return;
        }
        self.flows.lock().unwrap().insert(input, flow);
    }

    /// What is still under way.
    pub(crate) fn len(&self) -> usize {
        self.flows.lock().unwrap().len()
    }

    /// Goes on with what the event is about.
    pub(crate) fn on(&self, event: &Event) {
        let mut flows = self.flows.lock().unwrap();
        let key = flows.iter().find(|(_, flow)| [flow.input, flow.output].contains(&event.handle)).map(|(key, _)| *key);
        let Some(mut flow) = key.and_then(|key| flows.remove(&key)) else { return };
        drop(flows);
        let turn = match event.kind {
            LORRAINE_EVENT_READABLE | LORRAINE_EVENT_WRITABLE => self.turn(&mut flow),
            LORRAINE_EVENT_STREAM_STOPPED => {
                lorraine_stop_sending(flow.input, event.code);
                release(&flow)
            }
            LORRAINE_EVENT_ENDED => release(&flow),
            _ => Turn::Waits,
        };
        if let Turn::Waits = turn {
            self.flows.lock().unwrap().insert(flow.input, flow);
        }
    }

    fn turn(&self, flow: &mut Flow) -> Turn {
        let mut piece = [0; 40_000];
        loop {
            while !flow.rest.is_empty() {
                let taken = calls::write(flow.output, &flow.rest);
                if taken == STOPPED {
                    return Turn::Waits;
                }
                let Ok(taken) = usize::try_from(taken) else { return release(flow) };
                flow.rest.drain(..taken);
                if !flow.rest.is_empty() {
                    self.short.fetch_add(1, Ordering::SeqCst);
                    return Turn::Waits;
                }
            }
            match calls::read(flow.input, &mut piece) {
                (AGAIN, _) => return Turn::Waits,
                (0, _) => {
                    let trailers = if flow.has_trailers { calls::trailers(flow.input).unwrap() } else { String::new() };
                    assert_eq!(calls::finish(flow.output, &trailers), 0, "{}", calls::last_error());
                    return release(flow);
                }
                (RESET, code) => {
                    lorraine_reset(flow.output, code.unwrap());
                    return release(flow);
                }
                (read, _) => match usize::try_from(read) {
                    Ok(len) => flow.rest.extend_from_slice(&piece[..len]),
                    Err(_) => return release(flow),
                },
            }
        }
    }
}

fn release(flow: &Flow) -> Turn {
    lorraine_release(flow.input);
    lorraine_release(flow.output);
    Turn::Done
}
