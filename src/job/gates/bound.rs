//! Bounds, as people write and read them.

/// The value that a figure may have at most, or must have at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// In the unit of the gate.
    Number(f64),
    /// As a share of the original's figure.
    Of(f64),
}

/// What the bound of a gate is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number or a share: `0.02` or `2%`.
    Share,
    /// A multiple: `1.5` or `1.5x`.
    Times,
    /// `20` or `20ms`.
    Milliseconds,
    /// A size, or a share of the original's: `300KB` or `50%`.
    Bytes,
    /// A number, or a share of the original's: `40` or `80%`.
    Count,
    /// `true` or `false`.
    Truth,
}

/// A text that is no bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum BoundError {
    #[error("`{text}` is neither {what}")]
    NotA { text: String, what: &'static str },
    #[error("`{0}` is below 0")]
    Negative(String),
}

/// Names of multiples of a byte; longer ones before those that they end in.
const BYTES: [(&str, f64); 7] =
    [("kib", 1024.0), ("mib", 1048576.0), ("gib", 1073741824.0), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("b", 1.0)];

impl Unit {
    pub(super) fn parse(self, text: &str) -> Result<Bound, BoundError> {
        let text = text.trim();
        let bound = match self {
            Unit::Truth => text.parse::<bool>().ok().map(|b| Bound::Number(f64::from(u8::from(b)))),
            Unit::Share => percent(text).or_else(|| number(text)).map(Bound::Number),
            Unit::Times => number(text.trim_end_matches(['x', '×'])).map(Bound::Number),
            Unit::Milliseconds => number(text.trim_end_matches("ms")).map(Bound::Number),
            Unit::Bytes => percent(text).map(Bound::Of).or_else(|| bytes(text).map(Bound::Number)),
            Unit::Count => percent(text).map(Bound::Of).or_else(|| number(text).map(Bound::Number)),
        };
        match bound {
            Some(Bound::Number(x) | Bound::Of(x)) if x < 0.0 => Err(BoundError::Negative(text.to_owned())),
            Some(bound) => Ok(bound),
            None => Err(BoundError::NotA { text: text.to_owned(), what: self.what() }),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Unit::Truth => "true nor false",
            Unit::Share => "a number nor a share such as 2%",
            Unit::Times => "a number nor a multiple such as 1.5x",
            Unit::Milliseconds => "a number nor a time such as 20ms",
            Unit::Bytes => "a size such as 300KB nor a share such as 50%",
            Unit::Count => "a number nor a share such as 80%",
        }
    }

    /// A bound or a figure in this unit.
    pub(super) fn show(self, value: Bound) -> String {
        let x = match value {
            Bound::Of(share) => return format!("{} %", rounded(share * 100.0)),
            Bound::Number(x) => x,
        };
        match self {
            Unit::Truth => (x != 0.0).to_string(),
            Unit::Milliseconds => format!("{} ms", rounded(x)),
            Unit::Bytes => format!("{x:.0} B"),
            Unit::Share | Unit::Times | Unit::Count => rounded(x),
        }
    }
}

/// Four digits that count, which is as many as measured figures have.
fn rounded(x: f64) -> String {
    if x == 0.0 || !x.is_finite() || x.abs() >= 1e4 {
        return format!("{x:.0}");
    }
    let digits = (3 - x.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn number(text: &str) -> Option<f64> {
    text.trim().replace('_', "").parse::<f64>().ok().filter(|x| x.is_finite())
}

fn percent(text: &str) -> Option<f64> {
    number(text.strip_suffix('%')?).map(|x| x / 100.0)
}

/// How many bytes a text such as `300KB` says.
pub(crate) fn bytes(text: &str) -> Option<f64> {
    let text = text.to_lowercase();
    let named = BYTES.iter().find_map(|(name, scale)| number(text.strip_suffix(name)?).map(|x| x * scale));
    named.or_else(|| number(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_shares() {
        let size = |text| Unit::Bytes.parse(text).unwrap();
        for (text, bytes) in [("300_000", 3e5), ("300KB", 3e5), ("1.5 MB", 1.5e6), ("2KiB", 2048.0), ("12 b", 12.0)] {
            assert_eq!(size(text), Bound::Number(bytes), "{text}");
        }
        assert_eq!(size("50%"), Bound::Of(0.5));
        assert!(Unit::Bytes.parse("big").is_err() && Unit::Bytes.parse("-1MB").is_err());
    }

    #[test]
    fn figures_have_four_digits() {
        for (x, text) in
            [(0.031249, "0.03125"), (0.02, "0.02"), (1.0, "1"), (1234.56, "1235"), (12345678.9, "12345679")]
        {
            assert_eq!(rounded(x), text);
        }
        assert_eq!((rounded(0.0), rounded(f64::NAN)), ("0".into(), "NaN".into()));
    }
}
