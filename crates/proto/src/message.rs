//! Field sections and `http` types: strict validation both ways.
