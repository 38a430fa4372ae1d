//! How an image becomes a tensor, in a short text:
//!
//! ```text
//! size=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nchw scale=255 channels=rgb
//! ```
//!
//! The image is resized until its shorter side has `resize` pixels, and the middle of it is cut out in `size` (one
//! number, or height`x`width). A number of the tensor is (pixel / scale − mean) / std. What is left out follows from
//! the input: layout and channels from where it has 1 or 3, size from its other dimensions; it is resized just enough
//! to cover the size; `mean` is 0, `std` is 1, `scale` is 255 for floats and 1 for integers.

use super::InputSpec;
use crate::ir::Dim;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// How images become tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    layout: Layout,
    channels: Channels,
    /// Height and width.
    size: (u32, u32),
    /// The shorter side before the middle is cut out.
    resize: Option<u32>,
    scale: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Nchw,
    Nhwc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channels {
    Rgb,
    Bgr,
    Gray,
}

/// What is wrong with a text, or does not follow from the input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PreprocessError {
    #[error("the input {name:?} is [{shape}]; images need an axis for samples, height, width and channels each")]
    Rank { name: String, shape: String },
    #[error("the input {name:?} is [{shape}], which does not tell its {what}: give {hint}")]
    Open { name: String, shape: String, what: &'static str, hint: &'static str },
    #[error("the input {name:?} is [{shape}], which is not {what}")]
    Contradiction { name: String, shape: String, what: String },
    #[error("preprocess: {0:?} is not one of size, resize, mean, std, layout, scale and channels, with = behind it")]
    Key(String),
    #[error("preprocess: {0} is given twice")]
    Twice(String),
    #[error("preprocess: {key}={value}: {expected}")]
    Value { key: &'static str, value: String, expected: &'static str },
    #[error("preprocess: resize={resize} is less than the size {height}x{width}")]
    Resize { resize: u32, height: u32, width: u32 },
}

impl Preprocess {
    /// Reads the text, and takes what it leaves out from the input.
    pub fn of(input: &InputSpec, text: &str) -> Result<Preprocess, PreprocessError> {
        let given = Given::parse(text)?;
        let shape = || input.shape.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
        let [_, a, b, c] = input.shape.as_slice() else {
            return Err(PreprocessError::Rank { name: input.name.clone(), shape: shape() });
        };
        let open = |what, hint| PreprocessError::Open { name: input.name.clone(), shape: shape(), what, hint };
        let contradiction = |what| PreprocessError::Contradiction { name: input.name.clone(), shape: shape(), what };
        let is_channels = |d: &Dim| matches!(d.fixed(), Some(1 | 3));
        let layout = match given.layout {
            Some(layout) => layout,
            None if is_channels(a) => Layout::Nchw,
            None if is_channels(c) => Layout::Nhwc,
            None => return Err(open("layout", "layout=nchw or layout=nhwc")),
        };
        let (depth, height, width) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        let channels = given.channels.unwrap_or(if depth.fixed() == Some(1) { Channels::Gray } else { Channels::Rgb });
        let count = if channels == Channels::Gray { 1 } else { 3 };
        if depth.fixed().is_some_and(|n| n != count) {
            return Err(contradiction(format!("of {count} channels")));
        }
        let fixed = |d: &Dim| d.size().and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
        let declared = (fixed(height), fixed(width));
        let size = given.size.or(declared.0.zip(declared.1)).ok_or_else(|| open("size", "size=224 or size=224x192"))?;
        if declared.0.is_some_and(|h| h != size.0) || declared.1.is_some_and(|w| w != size.1) {
            return Err(contradiction(format!("{}x{}", size.0, size.1)));
        }
        if let Some(resize) = given.resize.filter(|&r| r < size.0.max(size.1)) {
            return Err(PreprocessError::Resize { resize, height: size.0, width: size.1 });
        }
        Ok(Preprocess {
            layout,
            channels,
            size,
            resize: given.resize,
            scale: given.scale.unwrap_or(if input.dtype.is_float() { 255.0 } else { 1.0 }),
            mean: given.mean.unwrap_or([0.0; 3]),
            std: given.std.unwrap_or([1.0; 3]),
        })
    }

    /// The shape of a tensor of so many images.
    pub fn shape(&self, images: usize) -> Vec<usize> {
        let (h, w, c) = (self.size.0 as usize, self.size.1 as usize, self.channels.count());
        match self.layout {
            Layout::Nchw => vec![images, c, h, w],
            Layout::Nhwc => vec![images, h, w, c],
        }
    }

    /// Appends the numbers of an image. `None` where it is so long that it would not fit into memory.
    pub(super) fn add(&self, image: &RgbImage, numbers: &mut Vec<f64>) -> Option<()> {
        let image = self.cut(image)?;
        let number = |pixel: &Rgb<u8>, c: usize| {
            let channel = self.channels.of(pixel, c);
            (channel / self.scale - self.mean[c]) / self.std[c]
        };
        let channels = 0..self.channels.count();
        match self.layout {
            Layout::Nchw => channels.for_each(|c| numbers.extend(image.pixels().map(|p| number(p, c)))),
            Layout::Nhwc => image.pixels().for_each(|p| numbers.extend(channels.clone().map(|c| number(p, c)))),
        }
        Some(())
    }

    /// The image resized, and the middle of it.
    fn cut(&self, image: &RgbImage) -> Option<RgbImage> {
        let (height, width) = self.size;
        let (to_w, to_h) = self.resized(image.dimensions()).filter(|(w, h)| u64::from(*w) * u64::from(*h) <= MOST)?;
        let resized;
        let image = if (to_w, to_h) == image.dimensions() {
            image
        } else {
            resized = imageops::resize(image, to_w, to_h, FilterType::Triangle);
            &resized
        };
        let middle = |whole: u32, part: u32| (f64::from(whole.saturating_sub(part)) / 2.0).round_ties_even() as u32;
        Some(imageops::crop_imm(image, middle(to_w, width), middle(to_h, height), width, height).to_image())
    }

    /// Width and height of an image of this width and height before the middle is cut out.
    fn resized(&self, (w, h): (u32, u32)) -> Option<(u32, u32)> {
        let (height, width) = self.size;
        let longer = |to: u32, long: u32, short: u32| {
            u32::try_from((u64::from(to) * u64::from(long)).checked_div(u64::from(short))?).ok()
        };
        // Without `resize`, one of the sides becomes just as long as wanted.
        match self.resize {
            Some(r) if h <= w => Some((longer(r, w, h)?, r)),
            Some(r) => Some((r, longer(r, h, w)?)),
            None if u64::from(height) * u64::from(w) >= u64::from(width) * u64::from(h) => {
                Some((longer(height, w, h)?, height))
            }
            None => Some((width, longer(width, h, w)?)),
        }
    }
}

impl Channels {
    fn count(self) -> usize {
        if self == Channels::Gray { 1 } else { 3 }
    }

    /// Channel `c` of a pixel.
    fn of(self, pixel: &Rgb<u8>, c: usize) -> f64 {
        match self {
            Channels::Rgb => f64::from(pixel[c]),
            Channels::Bgr => f64::from(pixel[2 - c]),
            // The weights of ITU-R BT.601, which most image libraries take; a gray pixel stays as it is.
            Channels::Gray => {
                let [r, g, b] = pixel.0.map(u32::from);
                f64::from((299 * r + 587 * g + 114 * b + 500) / 1000)
            }
        }
    }
}

/// What a text says.
#[derive(Default)]
struct Given {
    layout: Option<Layout>,
    channels: Option<Channels>,
    size: Option<(u32, u32)>,
    resize: Option<u32>,
    scale: Option<f64>,
    mean: Option<[f64; 3]>,
    std: Option<[f64; 3]>,
}

impl Given {
    fn parse(text: &str) -> Result<Given, PreprocessError> {
        let mut given = Given::default();
        for part in text.split_whitespace() {
            let (key, value) = part.split_once('=').ok_or_else(|| PreprocessError::Key(part.into()))?;
            let bad = |key, expected| PreprocessError::Value { key, value: value.into(), expected };
            let twice = match key {
                "size" => put(&mut given.size, size(value), bad("size", SIZE))?,
                "resize" => put(&mut given.resize, side(value), bad("resize", SIDE))?,
                "scale" => put(&mut given.scale, factor(value), bad("scale", FACTOR))?,
                "mean" => put(&mut given.mean, triple(value, number), bad("mean", "give one number or three"))?,
                "std" => put(&mut given.std, triple(value, factor), bad("std", "give one number or three, none 0"))?,
                "layout" => put(&mut given.layout, layout(value), bad("layout", "nchw or nhwc"))?,
                "channels" => put(&mut given.channels, channels(value), bad("channels", "rgb, bgr or gray"))?,
                _ => return Err(PreprocessError::Key(key.into())),
            };
            if twice {
                return Err(PreprocessError::Twice(key.into()));
            }
        }
        Ok(given)
    }
}

const SIZE: &str = "give a number of pixels, or height and width as 224x192";
const SIDE: &str = "give a number of pixels";
const FACTOR: &str = "give a number other than 0";

/// Sides beyond this are a mistake, or would not fit into memory.
const LONGEST: u32 = 1 << 14;

/// Pixels of an image that is resized, at most.
const MOST: u64 = 1 << 28;

/// Keeps a value; tells whether there was one.
fn put<T>(slot: &mut Option<T>, value: Option<T>, bad: PreprocessError) -> Result<bool, PreprocessError> {
    Ok(slot.replace(value.ok_or(bad)?).is_some())
}

fn side(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| (1..=LONGEST).contains(n))
}

fn size(text: &str) -> Option<(u32, u32)> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    side(height).zip(side(width))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

fn factor(text: &str) -> Option<f64> {
    number(text).filter(|x| *x != 0.0)
}

fn triple(text: &str, one: fn(&str) -> Option<f64>) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = text.split(',').map(one).collect::<Option<_>>()?;
    match numbers[..] {
        [x] => Some([x; 3]),
        [a, b, c] => Some([a, b, c]),
        _ => None,
    }
}

fn layout(text: &str) -> Option<Layout> {
    match text {
        "nchw" => Some(Layout::Nchw),
        "nhwc" => Some(Layout::Nhwc),
        _ => None,
    }
}

fn channels(text: &str) -> Option<Channels> {
    match text {
        "rgb" => Some(Channels::Rgb),
        "bgr" => Some(Channels::Bgr),
        "gray" => Some(Channels::Gray),
        _ => None,
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
