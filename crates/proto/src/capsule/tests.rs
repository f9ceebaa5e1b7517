//! Capsules: vectors, cuts and faults.
