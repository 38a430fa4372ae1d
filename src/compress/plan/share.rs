//! Shares of a whole, as people write them: `50%` or `0.5`.

use std::str::FromStr;

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// A text that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ShareError {
    #[error("give a share such as 0.5 or 50%")]
    NoNumber,
    #[error("{0} is not between 0 and 1 (or 0% and 100%)")]
    Range(String),
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let (number, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        let share = number.trim().parse::<f64>().map_err(|_| ShareError::NoNumber)? / scale;
        if (0.0..=1.0).contains(&share) { Ok(Share(share)) } else { Err(ShareError::Range(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_and_fractions() {
        assert_eq!("50%".parse(), Ok(Share(0.5)));
        assert_eq!("0.25".parse(), Ok(Share(0.25)));
        assert_eq!("150%".parse::<Share>(), Err(ShareError::Range("150%".into())));
        assert_eq!("half".parse::<Share>(), Err(ShareError::NoNumber));
        assert!("NaN".parse::<Share>().is_err());
    }
}
