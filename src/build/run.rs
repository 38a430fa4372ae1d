//! Making what is stale, and checking what was made.

use super::lock::{Lock, Why};
use super::memo::Memo;
use super::target::Target;
use crate::files;
use crate::job::gates::{Figures, Verdict};
use crate::job::paths::Paths;
use crate::job::prove::Failed;
use crate::job::report::Report;
use crate::job::{self, Done, Error, ErrorKind, Monitor};
use crate::load;
use crate::oracle::Setup;
use crate::page;
use crate::plan::Plan;
use std::path::PathBuf;

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Make everything, also what is up to date.
    pub force: bool,
    /// Say what is stale and make nothing.
    pub dry_run: bool,
    /// What runs models, as far as a target does not say.
    pub setup: Setup,
    /// Who hears of the jobs, and may stop them.
    pub monitor: Monitor,
}

/// What became of a target.
#[derive(Debug)]
pub enum State {
    /// It was as it should be.
    Fresh,
    /// It was made, for this reason.
    Made(Why),
    /// It should be made, for this reason; nothing was written.
    Stale(Why),
    /// It was checked, and is right.
    Checked,
    /// It computes something else than it must, missed a gate, or is not what was recorded; nothing was written.
    Failed,
    /// It could not be made at all.
    Broken,
}

/// A target with what became of it.
#[derive(Debug)]
pub struct Built {
    pub target: Target,
    pub state: State,
    /// What the gates say, where anything was run.
    pub verdicts: Vec<Verdict>,
    /// What failed, and what can be done about it.
    pub errors: Vec<String>,
    /// What should be known of a target that was made all the same.
    pub warning: Option<String>,
    pub report: Option<Box<Report>>,
}

impl Built {
    fn new(target: &Target, state: State) -> Built {
        Built { target: target.clone(), state, verdicts: vec![], errors: vec![], warning: None, report: None }
    }

    fn because(target: &Target, state: State, error: impl ToString) -> Built {
        Built { errors: vec![error.to_string()], ..Built::new(target, state) }
    }

    /// Whether all is as it should be.
    pub fn is_right(&self) -> bool {
        !matches!(self.state, State::Failed | State::Broken)
    }

    /// What is wrong, a line each.
    pub fn wrongs(&self) -> Vec<String> {
        let missed = self.verdicts.iter().filter(|v| !v.met).map(|v| v.says.clone());
        missed.chain(self.errors.iter().cloned()).collect()
    }
}

/// Makes a target if it is stale.
pub fn make(target: &Target, options: &Options) -> Built {
    let mut memo = Memo::open();
    let stale = match Lock::read(target) {
        _ if options.force => Some(Why::Forced),
        Ok(lock) => lock.stale(target, &options.setup, &mut memo),
        Err(why) => Some(why),
    };
    let Some(why) = stale else { return Built::new(target, State::Fresh) };
    if options.dry_run {
        return Built::new(target, State::Stale(why));
    }
    if let Err(e) = std::fs::create_dir_all(files::folder(&target.output)) {
        return Built::because(target, State::Broken, format!("{}: {e}", files::folder(&target.output).display()));
    }
    match pruned(target, options) {
        Err(e) if e.kind() == ErrorKind::Check => Built::because(target, State::Failed, e.in_a_line()),
        Err(e) => Built::because(target, State::Broken, e.in_a_line()),
        Ok(done) => finish(target, why, done, (&options.setup, &mut memo)),
    }
}

fn pruned(target: &Target, options: &Options) -> Result<Done, Error> {
    let options = job::Options { monitor: options.monitor.clone(), ..target.job(&options.setup).map_err(Error::new)? };
    Paths { more: target.documents(), ..options.paths() }.check()?;
    job::prune_file(&target.input, &options)
}

/// Writes what belongs to a model that was made, the lock last: what was cut off is made again.
fn finish(target: &Target, why: Why, done: Done, how: (&Setup, &mut Memo)) -> Built {
    let failed = done.is_wrong();
    let Done { mut report, nothing, data, written, .. } = done;
    (report.input, report.output) = target.shown.clone();
    // Times differ from run to run.
    report.stages.clear();
    let mut built = Built { verdicts: report.gates.clone(), ..Built::new(target, State::Failed) };
    built.errors.extend(failed.then(|| job::NOT_EQUAL.to_owned()));
    let nothing = nothing.map(|why| format!("{why}; the model is unchanged"));
    let warnings: Vec<String> = report.unproved.as_ref().map(Failed::in_a_line).into_iter().chain(nothing).collect();
    built.warning = (!warnings.is_empty()).then(|| warnings.join("; "));
    if built.wrongs().is_empty() {
        match documents(target, &report).and_then(|more| record(target, &data, [written, more].concat(), how)) {
            Ok(()) => built.state = State::Made(why),
            Err(e) => built.errors.push(e),
        }
    }
    built.report = Some(Box::new(report));
    built
}

/// Writes what tells of a model, beside it.
fn documents(target: &Target, report: &Report) -> Result<Vec<PathBuf>, String> {
    let json = |value: serde_json::Result<String>| value.map(|text| text + "\n").map_err(|e| e.to_string());
    let plan = json(serde_json::to_string_pretty(&report.plan))?;
    let texts = [plan, json(serde_json::to_string_pretty(report))?, page::html(report)];
    let write = |(path, text): (PathBuf, String)| {
        files::write(&path, text).map_err(|e| format!("{}: {e}", path.display())).map(|()| path)
    };
    target.documents().into_iter().zip(texts).map(write).collect()
}

fn record(target: &Target, data: &[String], outputs: Vec<PathBuf>, how: (&Setup, &mut Memo)) -> Result<(), String> {
    let lock = Lock::new(target, data, &outputs, how).and_then(|lock| lock.write(target));
    lock.map_err(|e| format!("{}: {e}", target.beside("lock.json").display()))
}

/// Checks a target that was made: its files are those recorded, of inputs that are still the same; its proof holds, and
/// its gates are met. Changes nothing, whatever the options say.
pub fn check(target: &Target, options: &Options) -> Built {
    let mut memo = Memo::open();
    let lock = match Lock::read(target) {
        Ok(lock) => lock,
        Err(why) => return Built::because(target, State::Failed, format!("{why}; run `secateur build`")),
    };
    let mut built = Built::new(target, State::Failed);
    if let Some(why) = lock.differs(target, &mut memo) {
        built.errors.push(format!("{why}; run `secateur build`"));
    }
    // A model that is not the one recorded may be anything; what its gates say matters all the same.
    match again(target, options) {
        Err(e) => built.errors.push(e),
        Ok(done) => {
            built.errors.extend(done.is_wrong().then(|| job::NOT_EQUAL_NOW.to_owned()));
            built.verdicts = Figures::of(&done.report).judge(&target.bounds());
            built.report = Some(Box::new(done.report));
        }
    }
    if built.wrongs().is_empty() {
        built.state = State::Checked;
    }
    built
}

/// Carries out the plan once more, and compares.
fn again(target: &Target, options: &Options) -> Result<Done, String> {
    let path = target.beside("plan.json");
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|e| format!("{}: not a plan: {e}", path.display()))?;
    let options = job::Options { monitor: options.monitor.clone(), ..target.job(&options.setup)? };
    let model = load::load(&target.input).map_err(|e| e.to_string())?;
    job::check(&model, plan, &options).map_err(|e| e.in_a_line())
}
