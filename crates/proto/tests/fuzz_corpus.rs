//! The fuzz targets in the ordinary tests: their seeds, the corpus beside the targets, and changes made at random.
//!
//! `FUZZ_ROUNDS` sets how many changed inputs each target gets; `FUZZ_SEED` where the randomness begins.

#![allow(dead_code, reason = "the fuzz targets use a part of what the other tests share")]

#[cfg(test)]
mod common;
#[cfg(test)]
mod harness;

use std::path::Path;

use common::random::{Random, Seed};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Inputs that were found worth keeping.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable corpus").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).expect("a readable corpus")).collect()
}

/// Changes an input a little: bytes are set, cut out, doubled, inserted, or taken from another input.
fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(8)).min(input.len());
        match random.below(6) {
            0 if at < input.len() => input[at] = random.next() as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            4 if !other.is_empty() => {
                let from = random.below(other.len());
                let to = (from + random.below(32)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.insert(at, random.pick(&[0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff])),
        }
    }
    input.truncate(2000);
}

/// Every target with its examples and with changed ones.
fn replay(names: &[&str]) {
    let rounds = number("FUZZ_ROUNDS", 1000);
    let first = number("FUZZ_SEED", 0);
    for (name, harness) in harness::TARGETS.iter().filter(|(name, _)| names.contains(name)) {
        let mut pool = harness::seeds(name);
        pool.extend(corpus(name));
        pool.iter().for_each(|input| harness(input));
        for round in 0..rounds {
            let seed = first + round;
            let _seed = Seed(seed);
            let mut random = Random(seed);
            let mut input = pool[random.below(pool.len())].clone();
            let other = pool[random.below(pool.len())].clone();
            change(&mut random, &mut input, &other);
            harness(&input);
            // What was made of one input is the start of the next, so that changes add up.
            if pool.len() < 1000 && random.chance(20) {
                pool.push(input);
            }
        }
    }
}

#[test]
fn parsers_take_anything() {
    replay(&["varints", "settings", "field_section", "huffman", "fields", "priority"]);
}

#[test]
fn capsules_and_heads_of_sessions_take_anything_in_any_pieces() {
    replay(&["capsules", "stream_head", "datagram_head"]);
}

#[test]
fn instruction_streams_take_anything_in_any_pieces() {
    replay(&["encoder_stream", "decoder_stream"]);
}

#[test]
fn control_streams_take_anything_in_any_pieces() {
    replay(&["control_stream"]);
}

#[test]
fn servers_take_anything_in_any_pieces() {
    replay(&["server_connection"]);
}

#[test]
fn clients_take_anything_in_any_pieces() {
    replay(&["client_connection"]);
}

#[test]
fn servers_of_sessions_take_anything() {
    replay(&["server_sessions"]);
}

#[test]
fn clients_of_sessions_take_anything() {
    replay(&["client_sessions"]);
}
