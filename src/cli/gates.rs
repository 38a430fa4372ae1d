//! Arguments about gates: the bounds, and how misses are reported.

use super::{Failure, show};
use crate::job::gates::{self, Figures, GATES, Gate, GateKind, Needs, Suite, Verdict};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Bounds that a result must keep.
#[derive(Args)]
pub(super) struct GateArgs {
    #[arg(long = "gate", value_name = "NAME=BOUND", help = help())]
    gates: Vec<Gate>,
    /// Write the gates' results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How failures are reported: as text, or as annotations of GitHub Actions
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

/// What help says of gates.
fn help() -> String {
    let names = |kinds: &mut dyn Iterator<Item = &GateKind>| kinds.map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let (all, labelled) = (names(&mut GATES.iter()), names(&mut GATES.iter().filter(|k| k.needs == Needs::Labels)));
    format!(
        "A bound that the result must keep, else nothing is written and the exit code is 4; may be repeated. The bounds: \
         {all} (`max_drift=0.02`, `max_size=50%`, `equivalence=true`). These need --labels: {labelled}"
    )
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Github,
}

impl GateArgs {
    /// Where the XML goes, if anywhere.
    pub(super) fn junit(&self) -> Option<&Path> {
        self.junit.as_deref()
    }

    /// The bounds as they were given.
    pub(super) fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// What the gates say to a result.
    pub(super) fn judge(&self, figures: &Figures) -> Vec<Verdict> {
        figures.judge(&self.gates)
    }

    /// Reports what was missed, a line each, and writes the XML. Whether anything was missed.
    pub(super) fn report(&self, suites: &[Suite]) -> Result<bool, Failure> {
        for suite in suites {
            for verdict in suite.verdicts.iter().filter(|v| !v.met) {
                match self.format {
                    Format::Text => show::note(&format!("gate missed: {}", verdict.says)),
                    Format::Github => show::note(&gates::annotation(&suite.file, verdict.name, &verdict.says)),
                }
            }
            if let Some(error) = &suite.error {
                match self.format {
                    Format::Text => show::note(&format!("error: {error}")),
                    Format::Github => show::note(&gates::annotation(&suite.file, "failed", error)),
                }
            }
        }
        if let Some(path) = &self.junit {
            show::write_text(path, &gates::junit(suites)?)?;
        }
        Ok(suites.iter().any(|s| s.error.is_some() || s.verdicts.iter().any(|v| !v.met)))
    }
}
