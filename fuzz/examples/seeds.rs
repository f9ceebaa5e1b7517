//! Writes each target's examples into its corpus: `cargo run --example seeds` in this folder.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, seeds) in lorraine_fuzz::seeds() {
        let folder = corpus.join(name);
        std::fs::create_dir_all(&folder)?;
        for (n, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{n}")), seed)?;
        }
    }
    Ok(())
}
