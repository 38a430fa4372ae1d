//! What kind of units may be removed. A rule tells it of some labels; for all others `axes` finds it.

use std::fmt;
use std::str::FromStr;

/// What may be removed from a net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    Channel,
    Neuron,
    Head,
    HeadDim,
    Width,
    Expert,
    /// Whole residual branches; no group is one.
    Layer,
}

/// A text that names no granularity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a granularity; those are channel, neuron, head, head-dim, width, expert and layer")]
pub struct GranularityError(String);

impl Granularity {
    /// All there are.
    pub const ALL: [Granularity; 7] = [
        Granularity::Channel,
        Granularity::Neuron,
        Granularity::Head,
        Granularity::HeadDim,
        Granularity::Width,
        Granularity::Expert,
        Granularity::Layer,
    ];

    fn name(self) -> &'static str {
        match self {
            Granularity::Channel => "channel",
            Granularity::Neuron => "neuron",
            Granularity::Head => "head",
            Granularity::HeadDim => "head-dim",
            Granularity::Width => "width",
            Granularity::Expert => "expert",
            Granularity::Layer => "layer",
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Granularity {
    type Err = GranularityError;

    fn from_str(text: &str) -> Result<Granularity, GranularityError> {
        let named = Granularity::ALL.into_iter().find(|g| g.name() == text);
        named.ok_or_else(|| GranularityError(text.to_owned()))
    }
}
