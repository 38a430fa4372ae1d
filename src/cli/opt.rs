//! `secateur opt`: run passes.

use super::progress::Progress;
use super::source::{self, OutputArgs};
use super::{Exit, Failure, show};
use crate::figures::plural;
use crate::ir::{self, Model};
use crate::job::files::file_size;
use crate::passes::{self, Execution, Pipeline, Settings};
use crate::prune::{OPTIMIZE, TIDY};
use crate::{apply, infer, pipelines, pruning};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Run a pipeline of passes on a model and write it
#[derive(clap::Args)]
#[command(mut_arg("output", |output| output.required(false).required_unless_present("list")))]
#[command(after_help = "\
Examples:
  secateur opt model.onnx -o folded.onnx --passes 'fold-constants,fold-bn,fix(drop-identity,dce)'
  secateur opt --list")]
pub(super) struct Args {
    /// The model
    #[arg(required_unless_present = "list")]
    model: Option<PathBuf>,
    /// The passes, in order; `fix(a,b)` repeats until nothing changes
    #[arg(long, value_name = "PIPELINE", default_value = OPTIMIZE)]
    passes: String,
    #[command(flatten)]
    output: OutputArgs,
    /// First make inputs that have a default constants of that value, as if they were never given
    #[arg(long)]
    freeze_inputs: bool,
    /// List the passes, and do nothing else
    #[arg(long)]
    list: bool,
    /// Print the model's text after every pass that changed it, to stderr
    #[arg(long)]
    print_after_all: bool,
    /// Print how long each pass took, to stderr
    #[arg(long)]
    time_passes: bool,
    /// Check the model's invariants after every pass
    #[arg(long)]
    verify_each: bool,
    /// Run only the first N passes (to find the one that breaks something)
    #[arg(long, value_name = "N")]
    bisect_limit: Option<usize>,
    /// Print what each pass did as JSON
    #[arg(long)]
    json: bool,
}

/// A pass, as `--list --json` shows it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    about: &'static str,
}

/// One run of one pass.
#[derive(Serialize)]
struct Step {
    number: usize,
    pass: &'static str,
    changes: usize,
    seconds: f64,
    notes: Vec<String>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    if args.list {
        return list(args.json);
    }
    let pipeline = args.pipeline(&args.passes)?;
    let (Some(path), output) = (args.model.as_ref().filter(|_| args.output.is_given()), &args.output) else {
        return Err(Failure::usage("give a model and, with -o, where the result goes"));
    };
    let original = source::load(path)?;
    let mut model = original.clone();
    let mut after_each = |step: &Execution, model: &Model| {
        if args.print_after_all && step.change.happened() {
            show::note(&format!("# after pass {}, {}\n{}", step.number, step.pass, ir::print(model)));
        }
        let broken = if args.verify_each { ir::verify(model) } else { vec![] };
        broken.first().map_or(Ok(()), |b| Err(b.to_string()))
    };
    let settings =
        Settings { bisect_limit: args.bisect_limit, after_each: Some(&mut after_each), ..pipelines::settings() };
    let progress = (!args.print_after_all).then(|| Progress::waiting("rewriting"));
    let report = pipeline.run(&mut model, settings)?;
    drop(progress);
    if report.change().happened() {
        refresh(&mut model);
    }
    let note = args.slimmed(&original, &mut model, output, path)?;
    output.save(&model, path)?;
    show_report(&args, &report)?;
    note.iter().for_each(|note| show::note(&format!("note: {note}")));
    Ok(Exit::Done)
}

fn refresh(model: &mut Model) {
    let facts = infer::infer(model);
    apply::refresh_declarations(&mut model.graph, &facts);
}

impl Args {
    fn pipeline(&self, passes: &str) -> Result<Pipeline, Failure> {
        let first = ["", "freeze-inputs"][usize::from(self.freeze_inputs)];
        let parts: Vec<&str> = [first, passes].into_iter().filter(|p| !p.trim().is_empty()).collect();
        pruning::registry().parse(&parts.join(",")).map_err(Failure::usage)
    }

    /// What came out larger than it went in is made again with fewer passes, unless they were asked for; says so.
    fn slimmed(
        &self,
        original: &Model,
        model: &mut Model,
        output: &OutputArgs,
        path: &Path,
    ) -> Result<Option<String>, Failure> {
        let before = (file_size(path, original), original.graph.calls().len() as u64);
        let size = |m: &Model| Ok::<_, Failure>((output.size(m, path)?, m.graph.calls().len() as u64));
        let is_larger = |now: (u64, u64)| now.0 > before.0 || now.1 > before.1;
        let now = size(model)?;
        if !is_larger(now) {
            return Ok(None);
        }
        let counts = |(bytes, calls)| format!("{} and {}", show::bytes(bytes), plural(calls as usize, "call"));
        if self.passes != OPTIMIZE {
            return Ok(Some(format!("the passes enlarge the model: {} → {}", counts(before), counts(now))));
        }
        let mut tidy = original.clone();
        self.pipeline(TIDY)?.run(&mut tidy, pipelines::settings())?;
        refresh(&mut tidy);
        *model = match is_larger(size(&tidy)?) {
            false => tidy,
            true if self.freeze_inputs => return Ok(None),
            true => original.clone(),
        };
        let (before, now) = (counts(before), counts(now));
        Ok(Some(format!("simplified less, because all passes together would enlarge the model: {before} → {now}")))
    }
}

fn list(json: bool) -> super::Outcome {
    let registry = pruning::registry();
    if json {
        let rows: Vec<Row> = registry.entries().map(|e| Row { name: e.name, about: e.doc }).collect();
        show::print_json(&rows)?;
    } else {
        let rows = registry.entries().map(|e| vec![e.name.to_owned(), e.doc.to_owned()]);
        show::print(&show::table(&["pass", "what it does"], 2, rows))?;
    }
    Ok(Exit::Done)
}

fn show_report(args: &Args, report: &passes::PipelineReport) -> Result<(), Failure> {
    let steps = report.executions.iter().map(|e| Step {
        number: e.number,
        pass: e.pass,
        changes: e.change.0,
        seconds: e.time.as_secs_f64(),
        notes: e.notes.clone(),
    });
    if args.json {
        return show::print_json(&steps.collect::<Vec<_>>());
    }
    let rows = steps.map(|s| vec![s.pass.to_owned(), s.number.to_string(), s.changes.to_string()]);
    show::print(&show::table(&["pass", "run", "changes"], 1, rows))?;
    if args.time_passes {
        for (pass, time, runs) in report.times() {
            show::note(&format!("{pass}: {} in {runs} runs", show::duration(time)));
        }
    }
    if report.limited {
        show::note("--bisect-limit stopped the pipeline before its last pass");
    }
    Ok(())
}
