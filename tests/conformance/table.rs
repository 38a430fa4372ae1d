//! The table of what the sweep found.

use super::case::Case;
use super::check::Finding;
use super::cut::Cut;
use super::run::Run;
use super::types::Known;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub(crate) struct Table {
    about: String,
    /// By operator and version of its operator set.
    rows: BTreeMap<(String, i64), Row>,
    /// All cases, and those of more than one call.
    total: Row,
    graphs: usize,
    /// What the oracle computes otherwise.
    wrong: Vec<String>,
    pub failures: usize,
}

/// Counts of cases.
#[derive(Default)]
struct Row {
    cases: usize,
    /// With all, and with some, of the types inferred.
    typed: usize,
    partly: usize,
    axes: usize,
    cost: usize,
    /// Cut, and with outputs equal to those of the masked case.
    cut: usize,
    equal: usize,
    /// Right in the oracle, wrong, and not run.
    right: usize,
    wrong: usize,
    silent: usize,
    compared: usize,
    changed: usize,
}

impl Table {
    pub(crate) fn new(about: &str) -> Table {
        Table { about: about.to_owned(), ..Table::default() }
    }

    pub(crate) fn add(&mut self, case: &Case, finding: &Finding) {
        self.total.add(finding);
        match case.call() {
            None => self.graphs += 1,
            Some(call) => {
                let standard = matches!(&call.domain[..], "" | "ai.onnx");
                let name = if standard { call.op.clone() } else { format!("{}.{}", call.domain, call.op) };
                self.rows.entry((name, case.model.opset(&call.domain))).or_default().add(finding);
            }
        }
        if let Run::Wrong(why) = &finding.oracle {
            self.wrong.push(format!("{}: {why}", case.name));
        }
    }
}

impl Row {
    fn add(&mut self, finding: &Finding) {
        self.cases += 1;
        self.typed += usize::from(finding.types == Known::All);
        self.partly += usize::from(finding.types == Known::Partly);
        self.axes += usize::from(finding.axes);
        self.cost += usize::from(finding.cost);
        self.cut += usize::from(finding.cut != Cut::Nothing);
        self.equal += usize::from(finding.cut == Cut::Equal);
        match finding.oracle {
            Run::Right => self.right += 1,
            Run::Wrong(_) => self.wrong += 1,
            Run::Silent(_) => self.silent += 1,
        }
        self.compared += usize::from(finding.compared);
        self.changed += usize::from(finding.changed);
    }

    fn types(&self) -> String {
        match self.typed {
            n if n == self.cases => "✓".into(),
            0 if self.partly == 0 => "–".into(),
            n => format!("{n} + {} partly", self.partly),
        }
    }

    fn some(&self, count: usize) -> String {
        match count {
            0 => "–".into(),
            n if n == self.cases => "✓".into(),
            n => n.to_string(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Table { about, rows, total, graphs, wrong, failures } = self;
        writeln!(f, "# Conformance\n")?;
        writeln!(
            f,
            "What the sweep over the backend test cases of the ONNX project found ({about}). It is written by"
        )?;
        writeln!(
            f,
            "`cargo test --test conformance -- --ignored`; [CONTRIBUTING.md](../../CONTRIBUTING.md) says how.\n"
        )?;
        writeln!(f, "| cases | |\n|---|---|")?;
        writeln!(f, "| loaded | {} |", total.cases)?;
        writeln!(f, "| failures: bytes, text, types, outputs after the passes, cuts | {failures} |")?;
        writeln!(f, "| types of all outputs inferred | {} |", total.typed)?;
        writeln!(f, "| partly | {} |", total.partly)?;
        writeln!(f, "| outputs compared after all exact passes | {} |", total.compared)?;
        writeln!(f, "| of these changed by the passes, in some form | {} |", total.changed)?;
        writeln!(f, "| cut | {} |", total.cut)?;
        writeln!(f, "| cut, and compared with the masked case | {} |", total.equal)?;
        writeln!(f, "| right in the oracle | {} |", total.right)?;
        writeln!(f, "| not run by the oracle | {} |", total.silent)?;
        writeln!(f, "| computed otherwise by the oracle | {} |\n", total.wrong)?;
        writeln!(
            f,
            "A number is how many cases have something, ✓ stands for all and – for none. What outputs are declared"
        )?;
        writeln!(
            f,
            "to be does not count as a type. *Axes*: the rule relates the axes of the call. *Cut*: where the inputs are"
        )?;
        writeln!(
            f,
            "constants, a unit of every free group was cut, the call refitted, and its types were those predicted."
        )?;
        writeln!(
            f,
            "*Equal*: the outputs were those of the masked case. *Cost*: the rule counts multiply-accumulates; most"
        )?;
        writeln!(f, "operators have none. *Oracle*: it computes what has to come out.")?;
        writeln!(f, "{graphs} cases of several calls are in the counts above alone.\n")?;
        writeln!(f, "| operator | opset | cases | types | axes | cut | equal | cost | oracle |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for ((name, opset), row) in rows {
            let counts = [row.axes, row.cut, row.equal, row.cost, row.right].map(|n| row.some(n));
            writeln!(f, "| {name} | {opset} | {} | {} | {} |", row.cases, row.types(), counts.join(" | "))?;
        }
        if !wrong.is_empty() {
            writeln!(f, "\nWhat the oracle computes otherwise:\n")?;
        }
        wrong.iter().try_for_each(|w| writeln!(f, "- {w}"))
    }
}
