//! The kind and shape of what an operation makes.

use super::{Compare, NumberKind, Op, Span, Window};

/// The kind and shape of the result, from those of the operands; an error says what does not fit. Operations whose
/// shape is a matter of choice (Reshape, Expand, and the leaves) are not asked.
pub(super) fn result(op: &Op, operands: &[(NumberKind, Vec<usize>)]) -> Result<(NumberKind, Vec<usize>), String> {
    let kind = |i: usize| operands.get(i).map(|o| o.0).ok_or_else(|| format!("{op:?} lacks operand {i}"));
    let shape = |i: usize| operands.get(i).map(|o| o.1.as_slice()).ok_or_else(|| format!("{op:?} lacks operand {i}"));
    let wants = |i: usize, wanted: NumberKind| match kind(i)? {
        found if found == wanted => Ok(()),
        found => Err(format!("{op:?} takes {wanted}, not {found}")),
    };
    let axis = |axis: usize| match axis < shape(0)?.len() {
        true => Ok(axis),
        false => Err(format!("{op:?} of a tensor of rank {}", shape(0)?.len())),
    };
    let with = |at: usize, size: usize| {
        let mut found = shape(0)?.to_vec();
        found[axis(at)?] = size;
        Ok::<_, String>(found)
    };
    let same = || Ok((kind(0)?, shape(0)?.to_vec()));
    match op {
        Op::Map(_) | Op::Power(_) => wants(0, NumberKind::Float).and_then(|()| same()),
        Op::Shift(_) | Op::Scale(_) | Op::Clamp(..) | Op::Detach | Op::Reshape | Op::Expand => same(),
        Op::Binary(_) => match kind(0)? == kind(1)? && kind(0)? != NumberKind::Bool {
            true => Ok((kind(0)?, broadcast(shape(0)?, shape(1)?)?)),
            false => Err(format!("{op:?} of {} and {}", kind(0)?, kind(1)?)),
        },
        Op::Compare(c) => match kind(0)? == kind(1)? && (kind(0)? != NumberKind::Bool || *c == Compare::Equal) {
            true => Ok((NumberKind::Bool, broadcast(shape(0)?, shape(1)?)?)),
            false => Err(format!("{op:?} of {} and {}", kind(0)?, kind(1)?)),
        },
        Op::And | Op::Or => {
            wants(0, NumberKind::Bool)?;
            wants(1, NumberKind::Bool)?;
            Ok((NumberKind::Bool, broadcast(shape(0)?, shape(1)?)?))
        }
        Op::Not => wants(0, NumberKind::Bool).and_then(|()| same()),
        Op::Select => {
            wants(0, NumberKind::Bool)?;
            wants(2, kind(1)?)?;
            Ok((kind(1)?, broadcast(&broadcast(shape(0)?, shape(1)?)?, shape(2)?)?))
        }
        Op::Cast(to) => Ok((*to, shape(0)?.to_vec())),
        Op::Permute(order) => {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            match sorted.iter().copied().eq(0..shape(0)?.len()) {
                true => Ok((kind(0)?, order.iter().map(|&a| shape(0).map(|s| s[a])).collect::<Result<_, _>>()?)),
                false => Err(format!("order {order:?} of a tensor of rank {}", shape(0)?.len())),
            }
        }
        Op::Slice(spans) => Ok((kind(0)?, sliced(shape(0)?, spans)?)),
        Op::Pad(widths, _) => {
            let found = shape(0)?;
            if widths.len() != found.len() {
                return Err(format!("{} pads for a tensor of rank {}", widths.len(), found.len()));
            }
            Ok((kind(0)?, found.iter().zip(widths).map(|(n, (before, after))| n + before + after).collect()))
        }
        Op::Concat(at) => {
            let mut total = 0;
            for i in 0..operands.len() {
                wants(i, kind(0)?)?;
                let other = shape(i)?;
                let fits = |a: usize| a == *at || other.get(a) == shape(0).ok().and_then(|s| s.get(a));
                if other.len() != shape(0)?.len() || !(0..other.len()).all(fits) {
                    return Err(format!("{:?} and {other:?} can't be joined along axis {at}", shape(0)?));
                }
                total += other[axis(*at)?];
            }
            Ok((kind(0)?, with(*at, total)?))
        }
        Op::Sum(axes) => {
            let mut found = shape(0)?.to_vec();
            for &a in axes {
                found[axis(a)?] = 1;
            }
            Ok((kind(0)?, found))
        }
        Op::Max(at) | Op::Product(at) => Ok((kind(0)?, with(*at, 1)?)),
        Op::RunningSum(at) => axis(*at).and_then(|_| same()),
        Op::Top(at, count) if *count <= shape(0)?[axis(*at)?] => Ok((NumberKind::Int, with(*at, *count)?)),
        Op::Top(_, count) => Err(format!("the {count} largest of {:?}", shape(0)?)),
        Op::MatMul => {
            wants(0, NumberKind::Float)?;
            wants(1, NumberKind::Float)?;
            matmul(shape(0)?, shape(1)?).map(|s| (NumberKind::Float, s))
        }
        Op::Conv(window) => conv(shape(0)?, shape(1)?, window).map(|s| (NumberKind::Float, s)),
        Op::ConvTranspose(window, extra) => {
            transposed(shape(0)?, shape(1)?, window, extra).map(|s| (NumberKind::Float, s))
        }
        Op::MaxPool(k) | Op::MeanPool(k) => {
            let &[n, c, h, w] = shape(0)? else { return Err(format!("a pool of {:?}", shape(0)?)) };
            let out = |i: usize, size: usize| places(size, k.size[i], k.stride[i], k.padding[i], k.dilation[i]);
            Ok((NumberKind::Float, vec![n, c, out(0, h)?, out(1, w)?]))
        }
        Op::Take(at) => {
            wants(1, NumberKind::Int)?;
            let &[count] = shape(1)? else { return Err(format!("indices of shape {:?}", shape(1)?)) };
            Ok((kind(0)?, with(*at, count)?))
        }
        Op::TakeAlong(_) => wants(1, NumberKind::Int).and_then(|()| Ok((kind(0)?, shape(1)?.to_vec()))),
        Op::AddAlong(_) => wants(1, NumberKind::Int).and_then(|()| same()),
        Op::Input(_) | Op::Constant(_) | Op::Literal(_) => Err(format!("{op:?} has no shape of its own")),
    }
}

/// The shape of two tensors of one rank, combined element by element.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let sizes = a.iter().zip(b).map(|(&x, &y)| match (x, y) {
        (1, n) | (n, 1) => Some(n),
        (x, y) => (x == y).then_some(x),
    });
    let sizes: Option<Vec<usize>> = sizes.collect();
    sizes.filter(|_| a.len() == b.len()).ok_or_else(|| format!("{a:?} and {b:?} don't go together"))
}

fn sliced(shape: &[usize], spans: &[Span]) -> Result<Vec<usize>, String> {
    if spans.len() != shape.len() {
        return Err(format!("{} spans for a tensor of rank {}", spans.len(), shape.len()));
    }
    let inside = |(span, &size): (&Span, &usize)| {
        let last = span.start as isize + (span.count as isize - 1) * span.step;
        span.count == 0 || (span.start < size && last >= 0 && (last as usize) < size)
    };
    match spans.iter().zip(shape).all(inside) {
        true => Ok(spans.iter().map(|s| s.count).collect()),
        false => Err(format!("the spans {spans:?} leave {shape:?}")),
    }
}

fn matmul(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let fits = a.len() == b.len() && a.len() >= 2 && a[a.len() - 1] == b[b.len() - 2];
    if !fits {
        return Err(format!("{a:?} and {b:?} can't be multiplied"));
    }
    let batch = a.len() - 2;
    let mut found = broadcast(&a[..batch], &b[..batch])?;
    found.extend([a[batch], b[batch + 1]]);
    Ok(found)
}

/// In how many places a window fits.
fn places(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Result<usize, String> {
    let reach = dilation * kernel.saturating_sub(1) + 1;
    match (size + 2 * padding).checked_sub(reach) {
        Some(room) if stride > 0 && kernel > 0 => Ok(room / stride + 1),
        _ => Err(format!("a window of {reach} over {size} elements with {padding} around")),
    }
}

fn conv(x: &[usize], w: &[usize], window: &Window) -> Result<Vec<usize>, String> {
    let groups = window.groups;
    let fits = x.len() == w.len() && x.len() > 2 && groups > 0 && x[1] == w[1] * groups && w[0].is_multiple_of(groups);
    if !fits {
        return Err(format!("data {x:?} and kernel {w:?} in {groups} groups"));
    }
    let mut found = vec![x[0], w[0]];
    for i in 0..x.len() - 2 {
        found.push(places(x[i + 2], w[i + 2], window.stride[i], window.padding[i], window.dilation[i])?);
    }
    Ok(found)
}

fn transposed(x: &[usize], w: &[usize], window: &Window, extra: &[usize]) -> Result<Vec<usize>, String> {
    let fits = x.len() == w.len() && x.len() > 2 && x[1] == w[0] && w[0].is_multiple_of(window.groups.max(1));
    if !fits {
        return Err(format!("data {x:?} and kernel {w:?} in {} groups", window.groups));
    }
    let mut found = vec![x[0], w[1] * window.groups];
    for i in 0..x.len() - 2 {
        let full = x[i + 2].saturating_sub(1) * window.stride[i] + window.dilation[i] * (w[i + 2] - 1) + 1 + extra[i];
        let size = full.checked_sub(2 * window.padding[i]);
        found.push(size.ok_or_else(|| format!("{full} elements less {} at each end", window.padding[i]))?);
    }
    Ok(found)
}
