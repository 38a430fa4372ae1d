//! What families share about dimensions: broadcasting, contradictions and rows of labels.

use crate::ir::Dim;
use crate::ops::Site;

/// Two shapes broadcast against each other, aligned from the right.
pub(crate) fn broadcast(site: &Site, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let lead = long.len() - short.len();
    let mut out = long[..lead].to_vec();
    for (x, y) in long[lead..].iter().zip(short) {
        out.push(match (x.fixed(), y.fixed()) {
            _ if x == y => x.clone(),
            (Some(1), _) => y.clone(),
            (_, Some(1)) => x.clone(),
            (Some(m), Some(n)) => return Err(format!("axes of length {m} and {n} do not broadcast")),
            (Some(_), None) => x.clone(),
            (None, Some(_)) => y.clone(),
            (None, None) => site.unknown(),
        });
    }
    Ok(out)
}

/// A contradiction where two dimensions that must be the same are known to differ.
pub(crate) fn agree(a: &Dim, b: &Dim, what: impl FnOnce(i64, i64) -> String) -> Result<(), String> {
    match (a.fixed(), b.fixed()) {
        (Some(m), Some(n)) if m != n => Err(what(m, n)),
        _ => Ok(()),
    }
}

/// How many elements a shape has.
pub(crate) fn elements(shape: &[Dim]) -> Dim {
    shape.iter().cloned().product()
}

/// A vector operand of one element per channel: a contradiction where its shape is known to be another.
pub(crate) fn expect_vector(site: &Site, slot: usize, length: &Dim, name: &str) -> Result<(), String> {
    match site.shape(slot) {
        None => Ok(()),
        Some([n]) => agree(n, length, |n, c| format!("the {name} has {n} elements but there are {c} channels")),
        Some(shape) => Err(format!("an operand ({name}) has rank {}, not 1", shape.len())),
    }
}

/// A contradiction where an operand is known to have another rank.
pub(crate) fn expect_rank(site: &Site, slot: usize, rank: usize, name: &str) -> Result<(), String> {
    match site.rank(slot) {
        Some(r) if r != rank => Err(format!("an operand ({name}) has rank {r}, not {rank}")),
        _ => Ok(()),
    }
}

/// A row of labels, one an axis: `a0 a1 a2`, each as `write` wants it.
pub(crate) fn row(rank: usize, write: impl Fn(usize) -> String) -> String {
    (0..rank).map(write).collect::<Vec<_>>().join(" ")
}
