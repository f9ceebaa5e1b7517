//! `/wt/clock`: a stream of the server's with a line a second.

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::select;
use lorraine::webtransport::{Session, StreamError};

/// Tells the time until the session ends.
pub(super) async fn tell(session: Session) {
    // The handles wait with the session: a finished handler closes it.
    select(pin!(session.closed()), pin!(lines(&session))).await;
}

async fn lines(session: &Session) -> Result<(), StreamError> {
    let mut stream = session.open_uni().await.map_err(|_| StreamError::Closed)?;
    loop {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        stream.write_all(format!("{}\n", utc(since_epoch.as_secs())).as_bytes()).await?;
        // At the turn of the second.
        tokio::time::sleep(Duration::from_secs(1) - Duration::from_nanos(since_epoch.subsec_nanos().into())).await;
    }
}

/// RFC 3339, to the second.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years: a leap day is then the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn seconds_since_the_epoch_are_told_as_dates() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(utc(seconds), expected);
        }
    }
}
