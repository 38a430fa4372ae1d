//! What is to be made: a model, by its options, under its gates.

use super::config::{Config, ConfigError};
use super::keys;
use super::section::{At, Section, Setting};
use crate::cli::flags::{Flag, Takes};
use crate::cli::job;
use crate::files;
use crate::gates::{Gate, Kind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A model that a build file asks for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The model's name, and the profile's: `net` or `net/edge`.
    pub name: String,
    pub model: String,
    pub profile: Option<String>,
    /// The model to prune.
    pub input: PathBuf,
    /// Where the pruned one goes.
    pub output: PathBuf,
    /// The bounds that it must keep.
    pub gates: BTreeMap<Kind, Gate>,
    /// The build file.
    file: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The input as the build file names it, which is the same on every machine; and the output.
    pub(super) shown: (String, String),
    /// The options in the words of the command line, files as the build file names them.
    pub(super) options: Vec<String>,
    /// The same with files as they are reached from here.
    args: Vec<OsString>,
    /// The files and folders that options name: as the build file names them, and as they are reached from here.
    pub(super) sources: BTreeMap<String, PathBuf>,
}

impl Target {
    pub(super) fn new(
        config: &Config,
        model: &str,
        profile: Option<&str>,
        section: &Section,
    ) -> Result<Target, ConfigError> {
        let missing = |key: &str| config.whole(format!("the model `{model}` has no `{key}`"));
        let input = section.input.as_ref().ok_or_else(|| missing("input"))?;
        let output = section.output.as_ref().ok_or_else(|| missing("output"))?;
        let shown_output = placed(config, output, model, profile)?;
        let place = config.outputs.as_deref().unwrap_or(config.folder()).join(&shown_output);
        let source = config.folder().join(&input.value);
        if files::same_place(&source, &place) {
            return Err(config.at(output, "the input is this file too, and would be overwritten"));
        }
        let mut target = Target {
            name: profile.map_or_else(|| model.to_owned(), |p| format!("{model}/{p}")),
            model: model.to_owned(),
            profile: profile.map(str::to_owned),
            input: source,
            output: place,
            gates: section.gates.clone(),
            file: config.path.clone(),
            folder: config.folder().to_owned(),
            shown: (input.value.clone(), shown_output),
            options: vec![],
            args: vec![],
            sources: BTreeMap::new(),
        };
        for (name, setting) in &section.options {
            if let Some(flag) = keys::find(&config.flags, name) {
                target.set(flag, &setting.value, config.folder());
            }
        }
        target.check(config, section)?;
        Ok(target)
    }

    /// The output as the build file names it.
    pub(super) fn shown_output(&self) -> &str {
        &self.shown.1
    }

    /// A file beside the output, such as `small.report.json`.
    pub fn beside(&self, extension: &str) -> PathBuf {
        self.output.with_extension(extension)
    }

    /// All files that it is made into, but for the model's data.
    pub fn outputs(&self) -> Vec<PathBuf> {
        [vec![self.output.clone()], self.documents()].concat()
    }

    /// What is written beside the output: plan, report and page; and the lock, which comes last.
    pub(super) fn documents(&self) -> Vec<PathBuf> {
        ["plan.json", "report.json", "report.html", "lock.json"].map(|extension| self.beside(extension)).into()
    }

    /// All files and folders that it is made from, but for the model's data files.
    pub fn inputs(&self) -> Vec<PathBuf> {
        [&self.file, &self.input].into_iter().chain(self.sources.values()).cloned().collect()
    }

    /// The gates as a list.
    pub(super) fn bounds(&self) -> Vec<Gate> {
        self.gates.values().copied().collect()
    }

    /// The arguments of `secateur prune` that make it.
    pub(super) fn args(&self) -> Vec<OsString> {
        let mut args = vec![self.input.clone().into_os_string(), "--output".into(), self.output.clone().into()];
        args.extend(self.args.iter().cloned());
        args.extend(self.gates.values().map(|gate| format!("--gate={gate}").into()));
        // Times differ from run to run. They are taken where somebody asks.
        let timed = self.gates.keys().any(|kind| kind.is_about_time());
        if !timed && !self.options.iter().any(|o| o.starts_with("--repeats=")) {
            args.push("--repeats=0".into());
        }
        args
    }

    fn set(&mut self, flag: &Flag, setting: &Setting, folder: &Path) {
        let name = &flag.name;
        let values = match setting {
            Setting::Off => return,
            Setting::On => {
                self.options.push(format!("--{name}"));
                return self.args.push(format!("--{name}").into());
            }
            Setting::Values(values) => values,
        };
        debug_assert!(flag.takes != Takes::Nothing);
        for value in values {
            self.options.push(format!("--{name}={value}"));
            let mut arg = OsString::from(format!("--{name}="));
            // `random:8` is a source of samples, and no file.
            if flag.is_path && !value.starts_with("random:") {
                let path = folder.join(value);
                arg.push(&path);
                self.sources.insert(value.clone(), path);
            } else {
                arg.push(value);
            }
            self.args.push(arg);
        }
    }

    /// Fails for what the command line would not take, at its place in the build file.
    fn check(&self, config: &Config, section: &Section) -> Result<(), ConfigError> {
        let Err(wrong) = job::parse(self.args()) else { return Ok(()) };
        let place = wrong.flag.as_deref().and_then(|flag| section.options.get(flag));
        match place {
            Some(place) => Err(config.at(place, &wrong.what)),
            None => Err(config.whole(format!("the model `{}`: {}", self.name, wrong.what))),
        }
    }
}

/// The output's path with the names of model and profile filled in; the file's name alone, if it goes elsewhere.
fn placed(config: &Config, output: &At<String>, model: &str, profile: Option<&str>) -> Result<String, ConfigError> {
    let text = output.value.replace("{model}", model).replace("{profile}", profile.unwrap_or("default"));
    if text.contains(['{', '}']) {
        return Err(config.at(output, "`output` may have {model} and {profile} in it, and no other braces"));
    }
    let name = Path::new(&text).file_name().map(|n| n.to_string_lossy().into_owned());
    match (name, &config.outputs) {
        (None, _) => Err(config.at(output, "`output` is not a file name")),
        (Some(name), Some(_)) => Ok(name),
        (Some(_), None) => Ok(text),
    }
}
