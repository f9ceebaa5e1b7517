//! Connections against a scripted peer, and against each other.
#![cfg(test)]

#[path = "../common/mod.rs"]
mod common;

mod cuts;
mod h3spec;
mod hq;
mod rfc9114_s10_limits;
mod rfc9114_s4_cancellation;
mod rfc9114_s4_requests;
mod rfc9114_s4_responses;
mod rfc9114_s5_goaway;
mod rfc9114_s6_streams;
mod rfc9114_s7_control;
mod rfc9114_s7_frames;
mod rfc9204_streams;
mod rfc9218;
mod rfc9220;
mod sending;
mod simulation;
mod standing_still;
mod webtransport_datagrams;
mod webtransport_sessions;
mod webtransport_streams;
