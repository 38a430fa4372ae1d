//! What is to be made: a model, by its options, under its gates.

use super::config::{Config, ConfigError};
use super::section::{At, Section, Setting};
use crate::files;
use crate::job::gates::{Gate, GateKind};
use crate::job::keys::{Key, Takes};
use crate::job::{Options, Output, Record};
use crate::oracle::Setup;
use crate::plan;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A model that a build file asks for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The model's name, and the profile's: `net` or `net/edge`.
    pub name: String,
    /// The model's name in the build file.
    pub model: String,
    /// The profile's name; `None` for a model as it stands.
    pub profile: Option<String>,
    /// The model to prune.
    pub input: PathBuf,
    /// Where the pruned one goes.
    pub output: PathBuf,
    /// The bounds that it must keep.
    pub gates: BTreeMap<&'static GateKind, Gate>,
    /// The build file.
    file: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The input as the build file names it, which is the same on every machine; and the output.
    pub(super) shown: (String, String),
    /// The options in the words of the command line, files as the build file names them.
    pub(super) options: Vec<String>,
    /// The same with files as they are reached from here; a switch has no value.
    settings: Vec<(&'static Key, String)>,
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
            settings: vec![],
            sources: BTreeMap::new(),
        };
        for (name, setting) in &section.options {
            if let Some(key) = Key::named(name) {
                target.set(key, &setting.value, config.folder());
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

    /// What is asked of the job that makes it. What it does not say of how models are run, this setup does.
    pub(super) fn job(&self, setup: &Setup) -> Result<Options, String> {
        let mut options = self.asked().map_err(|(_, why)| why)?;
        options.verification.setup = self.setup(setup);
        let recorded = |is: fn(&Key) -> bool| {
            let texts = self.settings.iter().filter(|(key, _)| is(key)).map(|(key, value)| key.recorded(value));
            texts.collect::<Vec<_>>().join(" ")
        };
        options.record = Record {
            choice: recorded(|key| key.recorded.is_of_choice()),
            result: recorded(|key| key.recorded.is_of_result()),
        };
        Ok(options)
    }

    /// What runs models for it, where this setup is the usual one.
    pub(super) fn setup(&self, usual: &Setup) -> Setup {
        let asked = self.asked().map(|options| options.verification.setup).unwrap_or_default();
        let is_said = |name: &str| self.settings.iter().any(|(key, _)| key.name == name);
        Setup {
            runtime: if is_said("runtime") { asked.runtime } else { usual.runtime },
            threads: if is_said("threads") { asked.threads } else { usual.threads },
            library: usual.library.clone(),
        }
    }

    /// What its widths are worth keeping for, where this setup is the usual one.
    pub(super) fn rounded(&self, usual: &Setup) -> Option<plan::Target> {
        self.asked().ok().and_then(|options| options.choice.selection.target(&self.setup(usual)))
    }

    /// The same without a record of it; or the option that is wrong, and why.
    fn asked(&self) -> Result<Options, (&'static Key, String)> {
        let mut options = Options {
            input: Some(self.input.clone()),
            output: Some(Output::to(&self.output)),
            gates: self.bounds(),
            ..Options::default()
        };
        // Times differ from run to run. They are taken where somebody asks.
        if !self.gates.keys().any(|kind| kind.is_about_time()) {
            options.verification.repeats = 0;
        }
        for (key, value) in &self.settings {
            key.set(&mut options, value).map_err(|why| (*key, why))?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &'static Key, setting: &Setting, folder: &Path) {
        let name = key.name;
        let values = match setting {
            Setting::Off => return,
            Setting::On => {
                self.options.push(format!("--{name}"));
                return self.settings.push((key, String::new()));
            }
            Setting::Values(values) => values,
        };
        for value in values {
            self.options.push(format!("--{name}={value}"));
            // `random:8` is a source of samples, and no file.
            if key.takes == Takes::Path && !value.starts_with("random:") {
                let path = folder.join(value);
                self.settings.push((key, path.to_string_lossy().into_owned()));
                self.sources.insert(value.clone(), path);
            } else if key.takes == Takes::List {
                self.settings.extend(value.split(',').map(|one| (key, one.to_owned())));
            } else {
                self.settings.push((key, value.clone()));
            }
        }
    }

    /// Fails for what the options do not take, and for options that do not go together, at their place in the build file.
    fn check(&self, config: &Config, section: &Section) -> Result<(), ConfigError> {
        if let Err((key, why)) = self.asked() {
            return Err(section.options.get(key.name).map_or_else(|| config.whole(&why), |at| config.at(at, &why)));
        }
        let mut keys: Vec<&Key> = self.settings.iter().map(|(key, _)| *key).collect();
        keys.dedup_by_key(|key| key.name);
        for key in &keys {
            let rivals: Vec<String> = keys.iter().filter(|k| key.excludes(k)).map(ToString::to_string).collect();
            let names = match &rivals[..] {
                [] => continue,
                [one] => format!(" '{one}'"),
                more => format!(": {}", more.join(" ")),
            };
            let what = format!("the argument '{key}' cannot be used with{names}");
            return Err(section.options.get(key.name).map_or_else(|| config.whole(&what), |at| config.at(at, &what)));
        }
        let mut missing: Vec<String> = vec![];
        for need in keys.iter().flat_map(|key| key.all_needs()) {
            let is_given = keys.iter().any(|key| key.name == need.name);
            if !is_given && !missing.contains(&need.to_string()) {
                missing.push(need.to_string());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("the following required arguments were not provided: {}", missing.join(" "));
        Err(config.whole(format!("the model `{}`: {what}", self.name)))
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
