//! Samples that are made up for a model, where nobody gives any: what they look like, how many, and on which scale.
//!
//! What each input looks like is known (`feed::Kind`); what is drawn for it says `feed::made_up`. Here the model is asked
//! the rest: which range its pictures have (`scale`), and, where its outputs are logits over the tokens that it reads,
//! which texts it would write (`language`). Nothing is drawn that the model answers always alike, or where
//! normalizations in it know of other numbers: such samples would mislead, and weights alone choose then.

mod evidence;
mod language;
mod scale;

use super::Error;
use super::monitor::Steps;
use super::options::MakeUp;
use super::report::{MadeUpInput, SampleReport};
use super::samples::Reader;
use crate::analysis::Analysis;
use crate::cost::{self, OpenDims};
use crate::feed::made_up::{Artist, Frame, Scale, Sketch};
use crate::feed::{Feed, InputSpec, Kind, Samples};
use crate::figures;
use crate::ir::Model;
use crate::lossless::Ranges;
use crate::sizes::Start;
use crate::verify;
use scale::Asked;

/// So many positions are enough for a fit: pixels of pictures, tokens of texts.
const PIXELS: usize = 1 << 18;
const TOKENS: usize = 1 << 13;
/// No fewer samples, where they are cheap, and no more.
const FEWEST: usize = 32;
const MOST: usize = 256;
/// What running the model on all of them may cost, in multiply-accumulates, where that leaves this many.
const WORK: u64 = 100_000_000_000;
const ENOUGH: usize = 8;
/// A model that costs more than so many times that on the fewest samples is too large to be run unasked.
const PATIENCE: u64 = 10;
/// On so many samples scales are tried, where that is cheap, and on so many where it is not.
const TRIED: usize = 16;
const FEW: usize = 3;
/// What is cheap, in multiply-accumulates.
const TRYING: u64 = 20_000_000_000;

/// Samples that were made up, with what is told of them; or why there are none.
pub(super) type Made = Result<(Samples, SampleReport), String>;

/// A model for which samples are made up.
pub(super) struct Maker<'a> {
    pub reader: Reader<'a>,
    pub model: &'a Model,
    pub analysis: &'a Analysis,
    /// Between which numbers inputs lie, as somebody said.
    pub ranges: Option<&'a Ranges>,
    pub seed: u64,
}

impl Maker<'_> {
    /// Makes samples up, unless they would mislead.
    pub(super) fn make(&self) -> Result<Made, Error> {
        let wanted = self.reader.calibration.made_up;
        if wanted == MakeUp::None {
            return Ok(Err("none were asked for".into()));
        }
        let _work = self.reader.monitor.begin("making samples up", Steps::None)?;
        let specs = match verify::specs_from(self.model, self.reader.sizes, Start::COUNT) {
            Ok(specs) => specs,
            Err(e) => return Ok(Err(format!("the inputs have no sizes to make samples of ({e})"))),
        };
        let kinds = kinds(&specs, wanted)?;
        let is_known = |kind: &Kind| !matches!(kind, Kind::State | Kind::Fixed | Kind::Unknown);
        if wanted != MakeUp::Noise && !kinds.iter().any(is_known) {
            return Ok(Err("the inputs look like nothing that samples are made up for".into()));
        }
        let frame = Frame::of(&specs);
        let count = match self.count(&specs, &kinds, frame.portion()) {
            Ok(count) => count,
            Err(why) => return Ok(Err(why)),
        };
        self.drawn(specs, kinds, &frame, count)
    }

    fn drawn(&self, specs: Vec<InputSpec>, kinds: Vec<Kind>, frame: &Frame, count: usize) -> Result<Made, Error> {
        let portions = count.div_ceil(frame.portion());
        let affordable = usize::try_from(TRYING / self.macs()).unwrap_or(usize::MAX);
        let tried = portions.min(affordable.clamp(FEW, TRIED).div_ceil(frame.portion()));
        let mut sketches: Vec<Sketch> = kinds.iter().map(|&kind| Sketch::plain(kind)).collect();
        let asked = Asked { maker: self, specs: &specs, frame, tried };
        let mut hows = vec![String::new(); specs.len()];
        for (at, how) in hows.iter_mut().enumerate() {
            match asked.scale(&mut sketches, at)? {
                Ok(found) => *how = found,
                Err(why) => return Ok(Err(why)),
            }
        }
        let few = match asked.feeds(&sketches) {
            Ok(few) => few,
            Err(e) => return Ok(Err(e.to_string())),
        };
        if let Some(why) = asked.misleading(&few)? {
            return Ok(Err(why));
        }
        let artist = Artist { inputs: &specs, sketches: &sketches, seed: self.seed };
        let drawn = (0..portions).map(|number| artist.portion(frame, number)).collect::<Result<Vec<Feed>, _>>();
        let feeds = drawn.map_err(Error::new)?;
        let feeds = match language::spoken(self, &specs, frame, feeds)? {
            language::Text::Spoken(feeds, at) => {
                hows[at] = "drawn from what the model itself would write".into();
                feeds
            }
            language::Text::Drawn(feeds) => feeds,
        };
        let samples = Samples::held(&specs, feeds);
        let inputs = specs.iter().zip(&sketches).zip(hows).filter_map(|((spec, sketch), how)| told(spec, sketch, how));
        let report = SampleReport::MadeUp { count: samples.len(), inputs: inputs.collect() };
        Ok(Ok((samples, report)))
    }

    /// What running the model on one sample costs, in multiply-accumulates.
    fn macs(&self) -> u64 {
        let open = OpenDims::given(&self.analysis.model, self.reader.sizes).unwrap_or_default();
        cost::sums(&self.analysis.model, &self.analysis.facts, &open).macs.max(1)
    }

    /// How many samples are made up; or why none are.
    fn count(&self, specs: &[InputSpec], kinds: &[Kind], portion: usize) -> Result<usize, String> {
        let wanted = specs.iter().zip(kinds).map(|(spec, kind)| wanted(spec, *kind)).max().unwrap_or(FEWEST);
        let macs = self.macs();
        if self.reader.calibration.made_up == MakeUp::Auto && macs.saturating_mul(ENOUGH as u64) > PATIENCE * WORK {
            let macs = figures::count(macs);
            return Err(format!("running it on some would take long ({macs} MACs for each; --made-up asks for them)"));
        }
        let affordable = usize::try_from(WORK / macs).unwrap_or(MOST).max(ENOUGH);
        let count = wanted.min(affordable).min(self.reader.calibration.samples).max(1);
        Ok(count.div_ceil(portion) * portion)
    }
}

/// How many samples of an input a fit needs.
fn wanted(spec: &InputSpec, kind: Kind) -> usize {
    let sizes = || spec.lengths.iter().enumerate().filter(|(axis, _)| *axis != spec.batch);
    let size = |except: Option<usize>| -> usize {
        let rest = sizes().filter(|(axis, _)| Some(*axis) != except).map(|(_, l)| l.size.max(1) as usize);
        rest.fold(1, usize::saturating_mul)
    };
    let many = match kind {
        Kind::Image { channels } => PIXELS / size(Some(channels)),
        Kind::Tokens { .. } => TOKENS / size(None),
        Kind::Wave | Kind::Map => PIXELS / size(None),
        Kind::Table | Kind::Unknown => MOST,
        Kind::State | Kind::Fixed => 0,
    };
    many.clamp(FEWEST, MOST)
}

/// What is to be made up for each input, where somebody may have said what.
fn kinds(specs: &[InputSpec], wanted: MakeUp) -> Result<Vec<Kind>, Error> {
    let is_data = |kind: Kind| !matches!(kind, Kind::State | Kind::Fixed | Kind::Tokens { .. });
    let forced = |spec: &InputSpec| {
        let axes: Vec<usize> = (0..spec.shape.len()).filter(|&axis| axis != spec.batch).collect();
        let shortest = || axes.iter().copied().min_by_key(|&axis| spec.lengths[axis].size);
        match wanted {
            _ if !is_data(spec.kind) => spec.kind,
            MakeUp::Noise => Kind::Unknown,
            MakeUp::Images if axes.len() == 3 && !matches!(spec.kind, Kind::Image { .. }) => {
                shortest().map_or(spec.kind, |channels| Kind::Image { channels })
            }
            MakeUp::Audio if spec.dtype.is_float() && !matches!(spec.kind, Kind::Wave) => {
                if axes.len() < 2 {
                    Kind::Wave
                } else {
                    Kind::Map
                }
            }
            _ => spec.kind,
        }
    };
    let kinds: Vec<Kind> = specs.iter().map(forced).collect();
    let fits = |kind: &Kind| match wanted {
        MakeUp::Images => matches!(kind, Kind::Image { .. }),
        MakeUp::Audio => matches!(kind, Kind::Wave | Kind::Map),
        MakeUp::Text => matches!(kind, Kind::Tokens { .. }),
        MakeUp::Auto | MakeUp::Noise | MakeUp::None => true,
    };
    if kinds.iter().any(fits) {
        return Ok(kinds);
    }
    let inputs: Vec<String> = specs.iter().map(InputSpec::describe).collect();
    let error = Error::options(format!("--made-up {wanted}: no input takes that ({})", inputs.join(", ")));
    Err(error.with_hint("leave it out, or give samples with --calib"))
}

/// A number with three digits behind the point, at most.
fn figure(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn joined(numbers: &[f64]) -> String {
    numbers.iter().map(|&x| figure(x).to_string()).collect::<Vec<_>>().join(",")
}

/// What is told of an input.
fn told(spec: &InputSpec, sketch: &Sketch, how: String) -> Option<MadeUpInput> {
    let kind = match sketch.kind {
        Kind::Image { .. } => "images",
        Kind::Wave => "sound",
        Kind::Map => "maps",
        Kind::Tokens { .. } => "tokens",
        Kind::Table => "columns",
        Kind::Unknown => "noise",
        Kind::State | Kind::Fixed => return None,
    };
    let scale = match (&sketch.scale, sketch.kind) {
        (_, Kind::Tokens { .. }) | (Scale::Each(..), _) => None,
        (Scale::All(zero, one), Kind::Image { .. }) => Some(format!("{}..{}", figure(*zero), figure(*one))),
        (Scale::Channels(means, deviations), _) => Some(format!("mean={} std={}", joined(means), joined(deviations))),
        (Scale::All(..), _) => None,
    };
    Some(MadeUpInput { name: spec.name.clone(), kind, scale, how })
}
