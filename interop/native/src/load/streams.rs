use std::cell::Cell;

use futures_util::future::try_join_all;

use super::{Target, echo};
use crate::Fault;
use crate::stack::{Client, Request};

/// Sends `streams` short streams through one session, and looks at the server's memory after each tenth.
///
/// # Errors
/// When an echo is wrong, or memory grows by more than the bound after the first tenth.
pub async fn streams_through_one_session(target: &Target<'_>, streams: u64) -> Result<String, Fault> {
    let client = Client::new(target.stack, target.hash)?;
    let session = client.connect(&Request::new(&format!("{}/wt/echo", target.base))).await?;
    let mut samples = vec![target.resident()];
    for tenth in 0..TENTHS {
        let left = Cell::new(streams * (tenth + 1) / TENTHS - streams * tenth / TENTHS);
        let take = || left.replace(left.get().saturating_sub(1)) > 0;
        let loops = (0..AT_ONCE).map(async |_| {
            while take() {
                echo(&session, b"a short stream").await?;
            }
            Ok::<_, Fault>(())
        });
        try_join_all(loops).await?;
        samples.push(target.resident());
    }
    drop(session);
    client.close().await;
    // The first tenth fills pools and tables.
    let (first, last) = (samples[1], samples[samples.len() - 1]);
    let shown = samples.iter().map(|sample| format!("{sample:.1}")).collect::<Vec<_>>().join(" ");
    let told = format!("{streams} streams, {AT_ONCE} at once; server RSS in MiB before and after each tenth: {shown}");
    if last > first + MOST_GROWTH_MIB {
        return Err(format!("memory grew by more than {MOST_GROWTH_MIB} MiB after the first tenth: {told}").into());
    }
    Ok(format!("{told}; grew by {:.1} of at most {MOST_GROWTH_MIB} after the first tenth", last - first))
}

const TENTHS: u64 = 10;
const AT_ONCE: usize = 50;
const MOST_GROWTH_MIB: f64 = 8.0;
