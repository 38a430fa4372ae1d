//! `secateur doctor`: what is there on this machine to work with?

use super::running::Running;
use super::{Exit, show};
use crate::oracle::Survey;
use crate::plan::Target;
use serde::Serialize;
use std::fmt::Write;

/// Show what runs models on this machine, where ONNX Runtime's library was found and what was passed over, and what this
/// build has
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur doctor
  secateur doctor --runtime tract --json")]
pub(super) struct Args {
    #[command(flatten)]
    running: Running,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found {
    secateur: &'static str,
    features: Vec<&'static str>,
    #[serde(flatten)]
    survey: Survey,
    /// Where many samples are run.
    threads: usize,
    /// Where a model is timed.
    threads_timed: usize,
    /// What widths are worth keeping for.
    target: &'static str,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let setup = args.running.unchecked()?;
    let target = Target::here(&setup);
    let found = Found {
        secateur: env!("CARGO_PKG_VERSION"),
        features: features(),
        survey: Survey::of(&setup),
        threads: setup.side_by_side(),
        threads_timed: setup.timed_threads(),
        target: target.name(),
    };
    match args.json {
        true => show::print_json(&found)?,
        false => show::print(&told(&found, target))?,
    }
    Ok(if found.survey.trouble.is_some() { Exit::Failed } else { Exit::Done })
}

/// The cargo features that this build has.
fn features() -> Vec<&'static str> {
    let all = [
        ("cuda", cfg!(feature = "cuda")),
        ("gradients", cfg!(feature = "gradients")),
        ("ort", cfg!(feature = "ort")),
        ("tract", cfg!(feature = "tract")),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

fn told(found: &Found, target: Target) -> String {
    let mut out = format!("secateur {}, built with {}\n\nruntimes, the best first\n", found.secateur, {
        let names = found.features.join(", ");
        if names.is_empty() { "no features".to_owned() } else { names }
    });
    for available in &found.survey.available {
        let place = match (&available.library, &available.found_by) {
            (Some(path), Some(by)) => format!("{} ({by})", path.display()),
            _ => "built in".to_owned(),
        };
        _ = writeln!(out, "  {}: {place}", available.runtime);
    }
    if found.survey.available.is_empty() {
        let trouble = found.survey.trouble.as_deref().unwrap_or("this build has none");
        out += &show::wrap(&format!("  none: {trouble}"), 4);
    }
    if !found.survey.passed_over.is_empty() {
        out += "\npassed over\n";
    }
    for p in &found.survey.passed_over {
        out += &show::wrap(&format!("  {} ({}): {}", p.library.display(), p.found_by, p.why), 4);
    }
    let timed = match found.threads_timed {
        1 => "one where a model is timed".to_owned(),
        n => format!("{n} where a model is timed"),
    };
    out += &format!("\nthreads\n  {} where many samples are run, {timed}\n", found.threads);
    out += &format!("\ntarget, which --round-to auto rounds for\n  {target}: {}\n", target.about());
    out + &show::wrap(&format!("  {}", target.source()), 4)
}
