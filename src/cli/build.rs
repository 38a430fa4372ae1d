//! `secateur build`: make what a build file asks for, if it is stale.

use super::gates::GateArgs;
use super::running::Running;
use super::{Exit, Failure, progress, show};
use crate::build::{self, Built, Config, Options, State, Target};
use crate::files;
use crate::job::gates::{Gate, Suite, Verdict};
use serde::Serialize;
use std::path::PathBuf;

/// Make the models of a build file that are out of date; exit code 4 if a gate is missed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur build
  secateur build edge --dry-run
  secateur build --file models/secateur.toml --gate equivalence=true --junit gates.xml
  secateur build --schema")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Make everything, also what is up to date
    #[arg(long)]
    force: bool,
    /// Say what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the JSON schema of build files, for editors
    #[arg(long)]
    schema: bool,
}

/// What is built or checked, and how that is told.
#[derive(clap::Args)]
pub(super) struct Which {
    /// A profile of the build file; all of them if not given
    profile: Option<String>,
    /// The build file
    #[arg(long, value_name = "FILE", default_value = build::FILE)]
    file: PathBuf,
    #[command(flatten)]
    gating: GateArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line of JSON.
#[derive(Serialize)]
struct Row {
    name: String,
    state: &'static str,
    why: Option<String>,
    input: String,
    output: String,
    gates: Vec<Verdict>,
    errors: Vec<String>,
    warning: Option<String>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    if args.schema {
        return show::print_json(&build::schema()).map(|()| Exit::Done);
    }
    let setup = Running::default().unchecked()?;
    let options = Options { force: args.force, dry_run: args.dry_run, setup, monitor: progress::monitor() };
    args.which.each(|target| build::make(target, &options))
}

impl Which {
    /// Does something with each target, and tells what came of it.
    pub(super) fn each(&self, work: impl Fn(&Target) -> Built) -> super::Outcome {
        let mut all = vec![];
        let targets = self.targets()?;
        if let Some(path) = self.gating.junit() {
            let files = targets.iter().flat_map(|t| [t.inputs(), t.outputs()].concat());
            if let Some(file) = files.into_iter().find(|file| files::same_place(file, path)) {
                let what = format!("{}: --junit would overwrite a file of the build", file.display());
                return Err(Failure::usage(what).hint("name another file"));
            }
        }
        for mut target in targets {
            let gates: &[Gate] = self.gating.gates();
            target.gates.extend(gates.iter().map(|gate| (gate.kind, *gate)));
            let built = work(&target);
            if !self.json {
                show::print(&line(&built))?;
            }
            if let Some(warning) = &built.warning {
                show::note(&format!("warning: {}: {warning}", target.name));
            }
            all.push(built);
        }
        if self.json {
            show::print_json(&all.iter().map(row).collect::<Vec<_>>())?;
        }
        let missed = self.gating.report(&all.iter().map(suite).collect::<Vec<_>>())?;
        let broken = all.iter().any(|b| matches!(b.state, State::Broken));
        Ok(if broken {
            Exit::Failed
        } else if missed {
            Exit::CheckFailed
        } else {
            Exit::Done
        })
    }

    fn targets(&self) -> Result<Vec<Target>, Failure> {
        let config = Config::load(&self.file).map_err(|e| {
            let absent =
                matches!(&e, build::ConfigError::Read { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound);
            let hint = "write one (docs/src/build.md has an example), or name it with --file";
            if absent { Failure::new(e).hint(hint) } else { Failure::usage(e) }
        })?;
        config.targets(self.profile.as_deref()).map_err(Failure::usage)
    }
}

fn word(state: &State) -> (&'static str, Option<String>) {
    match state {
        State::Fresh => ("fresh", None),
        State::Made(why) => ("made", Some(why.to_string())),
        State::Stale(why) => ("stale", Some(why.to_string())),
        State::Checked => ("checked", None),
        State::Failed => ("failed", None),
        State::Broken => ("broken", None),
    }
}

/// `made net/edge → out/net.onnx (it was never made): 40.1 % of the MACs, 41.3 % of the file`
fn line(built: &Built) -> String {
    let (state, why) = word(&built.state);
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    let figures = built.report.as_ref().map_or_else(String::new, |r| {
        let share = |a: u64, b: u64| 100.0 * b as f64 / u64::max(a, 1) as f64;
        let (macs, file) = (share(r.before.cost.macs, r.after.cost.macs), share(r.before.file, r.after.file));
        format!(": {macs:.1} % of the MACs, {file:.1} % of the file")
    });
    format!("{state} {} → {}{why}{figures}\n", built.target.name, built.target.output.display())
}

fn row(built: &Built) -> Row {
    let (state, why) = word(&built.state);
    Row {
        name: built.target.name.clone(),
        state,
        why,
        input: built.target.input.display().to_string(),
        output: built.target.output.display().to_string(),
        gates: built.verdicts.clone(),
        errors: built.errors.clone(),
        warning: built.warning.clone(),
    }
}

fn suite(built: &Built) -> Suite {
    Suite {
        name: built.target.name.clone(),
        file: built.target.output.display().to_string(),
        verdicts: built.verdicts.clone(),
        error: (!built.errors.is_empty()).then(|| built.errors.join("; ")),
    }
}
