//! Times as events carry them: RFC 3339 in UTC, and nanoseconds since 1970.

pub const SECOND: u64 = 1_000_000_000;

/// Days since 1970-01-01 of a civil date, and back: H. Hinnant's algorithms.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Unix time in nanoseconds of `2026-01-31T12:00:00[.fraction]Z`.
pub fn parse(text: &str) -> Option<u64> {
    let rest = text.strip_suffix('Z')?;
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let number = |range: std::ops::Range<usize>| whole.get(range)?.parse::<u32>().ok().map(i64::from);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if whole.len() != 19 || separators.iter().any(|&(at, b)| whole.as_bytes()[at] != b) || fraction.len() > 9
    {
        return None;
    }
    let day = days(number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = day * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let ns = match fraction {
        "" => 0,
        text => text.parse::<u64>().ok()? * 10_u64.pow(9 - text.len() as u32),
    };
    u64::try_from(seconds).ok()?.checked_mul(SECOND)?.checked_add(ns)
}

/// With nanoseconds, so that texts sort as times do.
pub fn format(ns: u64) -> String {
    let seconds = (ns / SECOND) as i64;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", ns % SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in [
            "1970-01-01T00:00:00.000000000Z",
            "2024-02-29T23:59:59.123456789Z",
            "2100-03-01T00:00:00.000000001Z",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(parse("2026-01-01T00:00:00Z"), Some(1_767_225_600 * SECOND));
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "x026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00.-1Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
