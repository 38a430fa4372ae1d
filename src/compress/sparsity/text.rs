//! Options as people write them: `2:4`, `layer`, `wanda`.

use super::{Method, Options, Pattern, Scope};
use std::fmt;
use std::str::FromStr;

/// A text that is no option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("`{text}` is not one of {there}")]
    Unknown { text: String, there: &'static str },
    #[error("give the weights that stay and of how many, such as 2:4")]
    NoRatio,
    #[error("{0} of {1} weights stay: nothing becomes zero, or everything")]
    Nothing(usize, usize),
}

impl Pattern {
    /// `n` of every `m` weights stay.
    pub fn of(n: usize, m: usize) -> Result<Pattern, OptionError> {
        if (1..m).contains(&n) { Ok(Pattern::Of { n, m }) } else { Err(OptionError::Nothing(n, m)) }
    }

    /// `2:4`: two of every four weights stay.
    pub fn parse_ratio(text: &str) -> Result<Pattern, OptionError> {
        let (n, m) = text.split_once(':').ok_or(OptionError::NoRatio)?;
        let number = |t: &str| t.trim().parse::<usize>().map_err(|_| OptionError::NoRatio);
        Pattern::of(number(n)?, number(m)?)
    }
}

impl FromStr for Scope {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Scope, OptionError> {
        match text {
            "row" => Ok(Scope::Row),
            "layer" => Ok(Scope::Layer),
            "global" => Ok(Scope::Global),
            _ => Err(OptionError::Unknown { text: text.to_owned(), there: "row, layer, global" }),
        }
    }
}

impl FromStr for Method {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Method, OptionError> {
        match text {
            "magnitude" => Ok(Method::Magnitude),
            "wanda" => Ok(Method::Wanda),
            "sparsegpt" => Ok(Method::SparseGpt),
            _ => Err(OptionError::Unknown { text: text.to_owned(), there: "magnitude, wanda, sparsegpt" }),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Method::Magnitude => "magnitude",
            Method::Wanda => "wanda",
            Method::SparseGpt => "sparsegpt",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Scope::Row => "row",
            Scope::Layer => "layer",
            Scope::Global => "global",
        })
    }
}

/// The options as a pass.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.pattern {
            Pattern::Share(share, scope) => {
                write!(f, "sparsify{{ratio={share} scope={scope} method={}}}", self.method)
            }
            Pattern::Of { n, m } => write!(f, "nm{{n={n} m={m} method={}}}", self.method),
        }
    }
}
