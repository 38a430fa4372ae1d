//! Values of options, as people write them.

use crate::pruning;
use std::time::Duration;

/// The text of a pipeline, as it is stored.
pub(crate) fn pipeline(text: &str) -> Result<String, String> {
    pruning::registry().parse(text).map(|p| p.to_string()).map_err(|e| e.to_string())
}

/// A dimension's name and its size, as in `batch=8`.
pub(crate) fn dim(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text.rsplit_once('=').ok_or("give NAME=SIZE")?;
    Ok((name.to_owned(), size_of(size)?))
}

/// An input's name and its shape.
pub(crate) fn shape(text: &str) -> Result<(String, Vec<i64>), String> {
    let (name, sizes) = text.rsplit_once('=').ok_or("give INPUT=SIZES, such as x=1,3,640,640")?;
    let between = if sizes.contains(',') { ',' } else { 'x' };
    let sizes = sizes.split(between).map(size_of).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), sizes))
}

/// An input's name and the axis that counts samples.
pub(crate) fn batch_axis(text: &str) -> Result<(String, usize), String> {
    let (name, axis) = text.rsplit_once('=').ok_or("give INPUT=AXIS")?;
    let axis = axis.parse().map_err(|_| format!("`{axis}` is not the number of an axis"))?;
    Ok((name.to_owned(), axis))
}

fn size_of(text: &str) -> Result<i64, String> {
    match text.trim().parse() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}

/// A time in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let time = seconds.filter(|s| *s >= 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
    time.ok_or_else(|| format!("`{text}` is not a number of seconds"))
}

/// A tolerance.
pub(crate) fn from_zero(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| format!("`{text}` is not a number from 0 up"))
}

/// A number.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| format!("`{text}` is not a number"))
}

/// A rate.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x > 0.0 { Ok(x) } else { Err("it has to be above 0".into()) })
}
