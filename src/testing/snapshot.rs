//! What snapshots hold.

use crate::analysis::Analysis;
use crate::cost::{Cost, OpenDims};
use crate::ir::{self, Model};
use crate::load::{self, LoadError};
use crate::plan::{self, ChooseError, Plan};
use crate::prune::{self, PruneError, Pruned, SIGNATURE};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A model as text, without what secateur says of itself in the metadata: that would change with every version.
pub fn text(model: &Model) -> String {
    let mut model = model.clone();
    model.metadata.retain(|(key, _)| !key.starts_with(SIGNATURE));
    ir::print(&model)
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the pattern {pattern:?}: {error}")]
    Pattern { pattern: String, error: glob::PatternError },
    #[error("the pattern {pattern:?} finds no file in {}", .root.display())]
    NoFile { pattern: String, root: PathBuf },
    #[error("{file}: {error}")]
    Load { file: String, error: LoadError },
    #[error("{file}: {error}")]
    Choose { file: String, error: Box<ChooseError> },
    #[error("{file}: {error}")]
    Prune { file: String, error: Box<PruneError> },
}

/// Prunes every file that a glob finds under `root`; for each its path from there (a file's name can't hold more, so
/// slashes are `__`) and what came out, in the order of the paths.
///
/// Dimensions that a model leaves open count as the command line counts them, beside those named in the options.
pub fn pruned(
    root: impl AsRef<Path>,
    pattern: &str,
    mut options: plan::Options,
) -> Result<Vec<(String, String)>, SnapshotError> {
    let root = root.as_ref();
    let whole = format!("{}/{pattern}", glob::Pattern::escape(&root.to_string_lossy()));
    let found = glob::glob(&whole).map_err(|error| SnapshotError::Pattern { pattern: pattern.to_owned(), error })?;
    // What can't be looked at is no file that was asked for; glob returns the rest in the order of the alphabet.
    let files: Vec<PathBuf> = found.flatten().filter(|p| p.is_file()).collect();
    if files.is_empty() {
        return Err(SnapshotError::NoFile { pattern: pattern.to_owned(), root: root.to_owned() });
    }
    let named = options.open.named.clone();
    let mut all = vec![];
    for path in files {
        let parts = path.strip_prefix(root).unwrap_or(&path).components();
        let name = parts.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("__");
        let model = load::load(&path).map_err(|error| SnapshotError::Load { file: name.clone(), error })?;
        options.open = OpenDims::of(&model, named.clone());
        let text = story(&name, &model, &options)?;
        all.push((name, text));
    }
    Ok(all)
}

/// What pruning does to one model.
fn story(file: &str, model: &Model, options: &plan::Options) -> Result<String, SnapshotError> {
    let prune = |error| SnapshotError::Prune { file: file.to_owned(), error: Box::new(error) };
    let analysis = prune::prepare(model).map_err(|e| prune(e.into()))?;
    let plan = plan::choose(&analysis, options);
    let plan = plan.map_err(|e| SnapshotError::Choose { file: file.to_owned(), error: Box::new(e) })?;
    let done = prune::execute(model, &analysis, &plan, prune::SIMPLIFY, &options.open, None).map_err(prune)?;
    Ok(tell(&plan, &analysis, &done, options.inexact))
}

fn tell(plan: &Plan, analysis: &Analysis, done: &Pruned, inexact: bool) -> String {
    let mut out = format!("{} by {}\n", plan.budget, plan.criterion);
    type Of = fn(&Cost) -> u64;
    let figures: [(&str, Of); 4] =
        [("MACs", |c| c.macs), ("parameters", |c| c.params), ("bytes", |c| c.bytes), ("nodes", |c| c.nodes)];
    for (name, of) in figures {
        _ = writeln!(out, "{name}: {} -> {}", of(&done.before), of(&done.after));
    }
    out += "\ncut:\n";
    for (group, cut) in done.groups.iter().zip(plan.cuts.iter().filter(|c| !c.remove.is_empty())) {
        let label = format!("{}{}", group.label, if group.exact { "" } else { "!" });
        let gone = ranges(&cut.remove);
        _ = writeln!(
            out,
            "  {label}: {} -> {}, without {gone} ({})",
            group.before,
            group.after,
            group.places.join(", ")
        );
    }
    out += "\nnot cut:\n";
    for pin in prune::pins(analysis, inexact) {
        _ = writeln!(out, "  {}, {} units ({}): {}", pin.label, pin.size, pin.places.join(", "), pin.why);
    }
    out + "\n" + &text(&done.model)
}

/// Ascending numbers, neighbours as one: `0-3,7`.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = vec![];
    for &n in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let show =
        |(first, last): (usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.into_iter().map(show).collect::<Vec<_>>().join(",")
}

/// Asserts something of each text. All are looked at, so that one review takes all new snapshots.
#[doc(hidden)]
pub fn each(texts: &[(String, String)], assert: impl Fn(&str, &str)) {
    let failed = |(name, text): &&(String, String)| catch_unwind(AssertUnwindSafe(|| assert(name, text))).is_err();
    let failed: Vec<&str> = texts.iter().filter(failed).map(|(name, _)| name.as_str()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} models are not as they were: {}",
        failed.len(),
        texts.len(),
        failed.join(", ")
    );
}
