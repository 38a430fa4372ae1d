//! Slice: a range of each of some axes.
//!
//! A range of step 1 between known ends takes an axis apart, `~a+b+~c -> b`; the neighbours are read by nobody. One
//! element of every block, as interleaved rotations take it, is `(b 2) -> b`. Other ranges pin their axis. A slice of an axis of open length is taken to
//! lie within it, as exporters mean it.

use super::shared::content::{carry, elements, flat, select, small};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[("Slice", SLICE)];

/// Slice: `data[start:end:step]` of each axis named. Before opset 10 the ranges were attributes, of step 1.
const SLICE: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let Some(ranges) = ranges(site, shape.len())? else {
            return Ok(vec![Fact::maybe(site.dtype(0), Some(shape.iter().map(|_| site.unknown()).collect()))]);
        };
        let mut out = shape.to_vec();
        for range in &ranges {
            out[range.axis] = range.length(&shape[range.axis])?.unwrap_or_else(|| site.unknown());
        }
        let fact = Fact::maybe(site.dtype(0), Some(out));
        Ok(vec![match sliced(site, &ranges, &fact) {
            Some(elements) => carry(fact, elements),
            None => fact,
        }])
    },
    axes: |site| {
        let shape = site.shape(0)?;
        let Ok(Some(ranges)) = ranges(site, shape.len()) else {
            return Some(AxisRule::new("_* -> _*").why("its range is computed at run time"));
        };
        let mut rule = AxisRule::new("").why("its range is computed at run time").carries();
        let mut from: Vec<String> = (0..shape.len()).map(|i| format!("x{i}")).collect();
        let mut to = from.clone();
        let writable = can_write(site);
        for range in &ranges {
            let axis = range.axis;
            let size = &shape[axis];
            if range.is_full(size) {
                continue;
            }
            if let Some(step) = range.stride(size) {
                (from[axis], to[axis]) = (format!("(b{axis} {step})"), format!("b{axis}"));
                rule.why = range.obstacle().unwrap_or(rule.why);
                continue;
            }
            let Some((a, b, c)) = range.parts(size).filter(|_| writable) else {
                (from[axis], to[axis]) = ("_".into(), "_".into());
                rule.why = range.obstacle().unwrap_or(rule.why);
                continue;
            };
            let parts = [(format!("a{axis}"), a, "~"), (format!("b{axis}"), b, ""), (format!("c{axis}"), c, "~")];
            let terms = parts.iter().filter(|p| p.1 > 0).map(|(name, _, mark)| format!("{mark}{name}"));
            from[axis] = terms.collect::<Vec<_>>().join("+");
            to[axis] = parts[1].0.clone();
            rule.sizes.extend(parts.iter().map(|(name, n, _)| (name.clone(), Dim::from(*n))));
        }
        rule.text = format!("{}, _*, _*, _*, _* -> {}", from.join(" "), to.join(" "));
        Some(rule)
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(moved(site, cut).unwrap_or_default()),
    values: ValueLaws {
        identity: |site| {
            let Some(shape) = site.shape(0) else { return false };
            let Ok(Some(ranges)) = ranges(site, shape.len()) else { return false };
            ranges.iter().all(|r| r.is_full(&shape[r.axis]))
        },
        data_movement: true,
        ..ValueLaws::OPAQUE
    },
    lower: |site, at| {
        let x = at.at(0)?;
        let open = "its range is computed at run time";
        let numbers = |r: &Range| Some((r.axis, r.numbers(site.dim(0, r.axis)?)?));
        let ranges: Option<Vec<_>> = ranges(site, x.rank())?.ok_or(open)?.iter().map(numbers).collect();
        Ok(lower::slice::sliced(x, &ranges.ok_or(open)?))
    },
    ..Rule::OPAQUE
};

/// The range of one axis; what is `None` is not known before the run.
struct Range {
    axis: usize,
    start: Option<Dim>,
    end: Option<Dim>,
    step: Option<i64>,
}

/// From here on an end means "to the end": no axis is longer.
const FAR: i64 = 1_000_000_000;

/// The ranges; `None` where not even their axes are known.
fn ranges(site: &Site, rank: usize) -> Result<Option<Vec<Range>>, String> {
    let (Some(starts), Some(ends)) = (listed(site, "starts", 1), listed(site, "ends", 2)) else { return Ok(None) };
    let Ok(axes) = site.ints_from("axes", 3) else { return Ok(None) };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = if site.has(4) { elements(site.fact(4)) } else { Some(vec![Element::Int(Dim::Fixed(1)); axes.len()]) };
    let Some(steps) = steps else { return Ok(None) };
    if [starts.len(), ends.len(), steps.len()] != [axes.len(); 3] {
        return Err("its starts, ends, axes and steps are not equally many".into());
    }
    let int = |e: &Element| if let Element::Int(d) = e { Some(d.clone()) } else { None };
    let mut ranges: Vec<Range> = vec![];
    for (i, axis) in axes.into_iter().enumerate() {
        let axis = normalize_axis(axis, rank)?;
        if axis >= rank || ranges.iter().any(|r| r.axis == axis) {
            return Err("it slices an axis twice, or one that is not there".into());
        }
        let step = int(&steps[i]).and_then(|d| d.fixed());
        if step == Some(0) {
            return Err("a step of 0".into());
        }
        ranges.push(Range { axis, start: int(&starts[i]), end: int(&ends[i]), step });
    }
    Ok(Some(ranges))
}

fn listed(site: &Site, attribute: &str, slot: usize) -> Option<Vec<Element>> {
    match site.call.ints(attribute) {
        Some(list) => Some(list.iter().map(|&n| Element::Int(Dim::Fixed(n))).collect()),
        None => elements(site.fact(slot)).filter(|_| site.has(slot)),
    }
}

impl Range {
    /// First index, count and step in an axis of known length.
    fn numbers(&self, size: &Dim) -> Option<(i64, i64, i64)> {
        let n = i64::try_from(size.size()?).ok()?;
        let (start, end, step) = (self.start.as_ref()?.fixed()?, self.end.as_ref()?.fixed()?, self.step?);
        let wrap = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
        if step > 0 {
            let (start, end) = (wrap(start).clamp(0, n), wrap(end).clamp(0, n));
            let count = (end - start).max(0) as u64;
            return Some((start, count.div_ceil(step.unsigned_abs()) as i64, step));
        }
        let (start, end) = (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1));
        let count = (start - end).max(0) as u64;
        Some((start, count.div_ceil(step.unsigned_abs()) as i64, step))
    }

    fn length(&self, size: &Dim) -> Result<Option<Dim>, String> {
        if let Some((_, count, _)) = self.numbers(size) {
            return Ok(Some(Dim::Fixed(count)));
        }
        let Some((start, end)) = self.ends(size) else { return Ok(None) };
        let length = end - start;
        if length.at_most().is_some_and(|high| high <= 0) {
            return Ok(Some(Dim::Fixed(0)));
        }
        Ok(match self.step {
            Some(1) => Some(length),
            Some(step) if step > 1 => Some(length.div_ceil(&Dim::Fixed(step))),
            _ => None,
        })
    }

    /// Start and end counted from the front, for a positive step and an axis of open length or symbolic ends.
    fn ends(&self, size: &Dim) -> Option<(Dim, Dim)> {
        self.step.filter(|&s| s > 0)?;
        let start = match self.start.as_ref()? {
            Dim::Fixed(n) if *n < 0 => size.clone() + Dim::Fixed(*n),
            s => Some(s.clone()).filter(|s| s.at_least().is_some_and(|low| low >= 0))?,
        };
        let end = match self.end.as_ref()? {
            Dim::Fixed(n) if *n >= FAR => size.clone(),
            Dim::Fixed(n) if *n < 0 => size.clone() + Dim::Fixed(*n),
            // One element: without it the slice would be empty.
            e if *e == start.clone() + Dim::Fixed(1) => e.clone(),
            e => {
                let beyond = e.clone() - size.clone();
                match (beyond.at_most(), beyond.at_least()) {
                    (Some(high), _) if high <= 0 => e.clone(),
                    (_, Some(low)) if low >= 0 => size.clone(),
                    // A table of fixed length, read as far as the run is long.
                    _ if size.fixed().is_some() && e.at_least().is_some_and(|low| low >= 0) => e.clone(),
                    _ => return None,
                }
            }
        };
        Some((start, end))
    }

    /// Whether it reads the whole axis as it is.
    fn is_full(&self, size: &Dim) -> bool {
        match self.numbers(size) {
            Some((start, count, step)) => start == 0 && Dim::Fixed(count) == *size && step == 1,
            None => self.step == Some(1) && self.ends(size) == Some((Dim::Fixed(0), size.clone())),
        }
    }

    /// What lies before the range, in it and after it.
    fn parts(&self, size: &Dim) -> Option<(usize, usize, usize)> {
        let (start, count, step) = self.numbers(size)?;
        let (start, count) = (usize::try_from(start).ok()?, usize::try_from(count).ok()?);
        let rest = size.size()?.checked_sub(start.checked_add(count)?)?;
        (step == 1 && size.size() > Some(0)).then_some((start, count, rest))
    }

    /// What else than open ends keeps the range from being a term of a sum.
    fn obstacle(&self) -> Option<&'static str> {
        match self.step? {
            1 => None,
            step if step < 0 => Some("it reads the axis backwards, so that units would have to go from both ends"),
            _ => Some("it leaves out elements between those that it reads"),
        }
    }

    /// The step, if the range takes one element of every block of that many: `(b step) -> b`. Nothing of it has to
    /// be rewritten when blocks go.
    fn stride(&self, size: &Dim) -> Option<i64> {
        let (start, count, step) = self.numbers(size)?;
        let blocks = size.div_exact(&Dim::Fixed(step))?;
        let (first, last) = (self.start.as_ref()?.fixed()?, self.end.as_ref()?.fixed()?);
        let to_the_end = last < 0 || Dim::Fixed(last) >= *size;
        let whole = step > 1 && (0..step).contains(&start) && first >= 0 && to_the_end;
        (whole && blocks == Dim::Fixed(count) && count > 0).then_some(step)
    }
}

/// Whether the range can be rewritten: it is made of numbers and symbols.
fn can_write(site: &Site) -> bool {
    let known = |e: &Element| matches!(e, Element::Int(d) if !d.has_unknown());
    let all = |list: Option<Vec<Element>>| list.is_some_and(|l| l.iter().all(known));
    all(listed(site, "starts", 1)) && all(listed(site, "ends", 2))
}

fn sliced(site: &Site, ranges: &[Range], result: &Fact) -> Option<Vec<Element>> {
    let known = site.fact(0).content.as_ref()?;
    let (shape, out) = (site.shape(0)?, small(result.shape.as_ref()?)?);
    let from = small(shape)?;
    let numbers = ranges.iter().map(|r| Some((r.axis, r.numbers(&shape[r.axis])?)));
    let numbers: Vec<(usize, (i64, i64, i64))> = numbers.collect::<Option<_>>()?;
    let source = |index: &[usize]| {
        let mut at = index.to_vec();
        for (axis, (start, _, step)) in &numbers {
            at[*axis] = usize::try_from(start + index[*axis] as i64 * step).unwrap_or(usize::MAX);
        }
        if at.iter().zip(&from).all(|(i, n)| i < n) { flat(&at, &from) } else { usize::MAX }
    };
    Some(select(&known.0, &out, source))
}

/// New starts and ends, if what lies before a range or in it got shorter.
fn moved(site: &Site, cut: &CutSizes) -> Option<Refit> {
    let shape = site.shape(0)?;
    let ranges = ranges(site, shape.len()).ok()??;
    let dims = |list: Vec<Element>| {
        list.into_iter().map(|e| if let Element::Int(d) = e { Some(d) } else { None }).collect::<Option<Vec<_>>>()
    };
    let (mut starts, mut ends) = (dims(listed(site, "starts", 1)?)?, dims(listed(site, "ends", 2)?)?);
    let before = (starts.clone(), ends.clone());
    for (i, range) in ranges.iter().enumerate() {
        let size = &shape[range.axis];
        if range.is_full(size) {
            // A start of `-size` would lie before the axis now.
            if cut.operand(0).is_some_and(|after| after[range.axis] != *size) {
                starts[i] = Dim::Fixed(0);
            }
            continue;
        }
        let Some((a, b, c)) = range.parts(size) else { continue };
        let left =
            |part: &str, old: usize| cut.size(&format!("{part}{}", range.axis)).unwrap_or_else(|| Dim::from(old));
        let (start, count) = (left("a", a), left("b", b));
        if (start.clone(), count.clone(), left("c", c)) == (Dim::from(a), Dim::from(b), Dim::from(c)) {
            continue;
        }
        // What runs to the end still does, however it says so.
        let far = range.end.as_ref().and_then(Dim::fixed).is_some_and(|e| e >= FAR);
        starts[i] = start.clone();
        if c > 0 || !far {
            ends[i] = start + count;
        }
    }
    if before == (starts.clone(), ends.clone()) {
        return None;
    }
    let numbers = |v: &[Dim]| v.iter().map(Dim::fixed).collect::<Option<Vec<i64>>>();
    Some(match site.call.has("starts") {
        false => Refit::default().operand(1, starts).operand(2, ends),
        true => {
            let starts = Attribute::Ints(numbers(&starts)?);
            Refit::default().attribute("starts", starts).attribute("ends", Attribute::Ints(numbers(&ends)?))
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::Case;
    use crate::ops::testing::nets::{Net, int, ints};

    #[test]
    fn a_range_is_a_term_of_a_sum() {
        let mut net = Net::new(9);
        let w = net.weight(&[4, 12]);
        let y = net.call("Slice", &[w], &[("starts", ints(&[2])), ("ends", ints(&[-4])), ("axes", ints(&[1]))]);
        assert_eq!(net.show(y), "f32[4, 6]");
        assert_eq!(net.show_axes(&[w, y]), "[c0:4, c1:2+c2:6+c3:4] [c0:4, c2:6]");
        assert_eq!(net.show_refit(y, &[(w, 1, 1)]), "starts=Ints([1]) ends=Ints([7])");
        assert_eq!(net.show_refit(y, &[(y, 1, 5)]), "starts=Ints([2]) ends=Ints([7])");
        assert_eq!(net.show_refit(y, &[]), "");
    }

    #[test]
    fn what_is_read_backwards_or_with_gaps_stays() {
        let why = |attributes: &str| {
            Case::new("Slice", 13, "", &["=4 6", "=i64[5]", attributes, "=i64[1]", "=i64[-1]"], 1).reasons()
        };
        assert_eq!(why("=i64[-7]"), "it reads the axis backwards, so that units would have to go from both ends");
        let gaps = Case::new("Slice", 13, "", &["=4 6", "=i64[1]", "=i64[6]", "=i64[1]", "=i64[3]"], 1);
        assert_eq!(gaps.reasons(), "it leaves out elements between those that it reads");
    }

    #[test]
    fn ranges_are_operands_since_opset_10() {
        let mut net = Net::new(13);
        let w = net.weight(&[4, 12]);
        let (zero, far, six, axis) = (net.ints(&[0]), net.ints(&[i64::MAX]), net.ints(&[6]), net.ints(&[-1]));
        let (head, tail, all) = (
            net.call("Slice", &[w, zero, six, axis], &[]),
            net.call("Slice", &[w, six, far, axis], &[]),
            net.call("Slice", &[w, zero, far, axis], &[]),
        );
        assert_eq!(net.show_axes(&[head, tail, all]), "[c0:4, c1:6] [c0:4, c2:6] [c0:4, c1:6+c2:6]");
        assert!(net.is_identity(all) && !net.is_identity(head));
        assert_eq!(net.show_refit(head, &[(head, 1, 5)]), "@1=[0] @2=[5]");
        assert_eq!(net.show_refit(tail, &[(head, 1, 5)]), "@1=[5] @2=[9223372036854775807]");
        assert_eq!(net.show_refit(tail, &[(tail, 1, 5)]), "");
    }

    #[test]
    fn steps_and_open_ends_pin() {
        let mut net = Net::new(13);
        let (w, x) = (net.weight(&[4, 12]), net.input("i64 1"));
        let (zero, far, axis, two) = (net.ints(&[0]), net.ints(&[i64::MAX]), net.ints(&[1]), net.ints(&[2]));
        let stepped = net.call("Slice", &[w, two, far, axis, two], &[]);
        let open = net.call("Slice", &[w, zero, x, axis], &[]);
        assert_eq!([net.show(stepped), net.show(open)], ["f32[4, 5]", "f32[4, ?0]"]);
        assert_eq!(net.show_axes(&[w, stepped]), "[c0:4, 12] [c0:4, 5]");
        let minus = net.ints(&[-1]);
        let reversed = net.call("Slice", &[w, minus, minus, axis, minus], &[]);
        assert_eq!(net.show(reversed), "f32[4, 0]");
    }

    #[test]
    fn one_of_every_block_and_none_at_all() {
        let mut net = Net::new(13);
        let (w, v) = (net.weight(&[4, 12]), net.weight(&[4, 12]));
        let (zero, one, two) = (net.ints(&[0]), net.ints(&[1]), net.ints(&[2]));
        let (far, end) = (net.ints(&[i64::MAX]), net.ints(&[12]));
        let even = net.call("Slice", &[w, zero, far, one, two], &[]);
        let odd = net.call("Slice", &[w, one, end, one, two], &[]);
        assert_eq!(net.show_axes(&[w, even, odd]), "[c0:4, (c1:6 2)] [c0:4, c1:6] [c0:4, c1:6]");
        assert_eq!(net.show_refit(odd, &[(w, 1, 5)]), "");
        // Rotations of whole heads leave an empty rest.
        let rest = net.call("Slice", &[v, end, far, one], &[]);
        let whole = net.call("Concat", &[v, rest], &[("axis", int(1))]);
        assert_eq!(net.show_axes(&[v, rest, whole]), "[c3:4, c4:12] [c3:4, 0] [c3:4, c4:12]");
        assert_eq!(net.show_refit(rest, &[(v, 1, 10)]), "@1=[10] @2=[9223372036854775807]");
    }

    #[test]
    fn symbolic_ranges_have_symbolic_lengths() {
        let mut net = Net::new(17);
        let (x, table) = (net.input("f32 n t 8"), net.weight(&[1, 512, 8]));
        let shape = net.call("Shape", &[x], &[]);
        let (zero, one, two) = (net.ints(&[0]), net.ints(&[1]), net.ints(&[2]));
        let t = net.call("Slice", &[shape, one, two], &[]);
        assert_eq!(net.show(t), "i64[1] = {t}");
        let read = net.call("Slice", &[table, zero, t, one], &[]);
        assert_eq!(net.show(read), "f32[1, t, 8]");
        let (first, minus, far) = (net.call("Slice", &[x, zero, one, one], &[]), net.ints(&[-1]), net.ints(&[FAR]));
        let last = net.call("Slice", &[x, minus, far, one], &[]);
        let rest = net.call("Slice", &[x, one, far, one], &[]);
        let shown = [first, last, rest].map(|v| net.show(v));
        assert_eq!(shown, ["f32[n, 1, 8]", "f32[n, 1, 8]", "f32[n, -1+t, 8]"]);
    }

    const FAR: i64 = i64::MAX;

    #[test]
    fn odd_ranges_do_not_panic() {
        let mut net = Net::new(13);
        let w = net.weight(&[4, 0]);
        let (low, high, axes) = (net.ints(&[i64::MIN, 5]), net.ints(&[i64::MAX, i64::MIN]), net.ints(&[0, 1]));
        let steps = net.ints(&[i64::MIN, i64::MAX]);
        let y = net.call("Slice", &[w, low, high, axes, steps], &[]);
        assert_eq!(net.show(y), "f32[0, 0] = {}");
        net.call("Slice", &[w, low, high, axes, low], &[]);
        net.call("Slice", &[w, low], &[]);
        let zero = net.ints(&[0, 0]);
        net.call("Slice", &[w, low, high, zero], &[]);
        net.call("Slice", &[w, low, high, axes, zero], &[]);
        net.axes();
        assert_eq!(net.contradictions().len(), 2);
    }
}
