//! Build files: models, profiles, and what each of them is made by.

use super::keys;
use super::section::{At, Fault, Section, table, unknown};
use super::target::Target;
use crate::files;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The name of a build file, where none is given.
pub const FILE: &str = "secateur.toml";

/// A build file.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) path: PathBuf,
    /// Its text, to tell where something stands.
    text: String,
    top: Section,
    models: BTreeMap<String, Section>,
    profiles: BTreeMap<String, Profile>,
    /// Where all outputs go instead.
    pub(super) outputs: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Profile {
    section: Section,
    /// What it says of single models.
    models: BTreeMap<String, Section>,
}

/// What is wrong with a build file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ConfigError {
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// Something at a place; lines and columns count from 1.
    #[error("{}:{line}:{column}: {what}", path.display())]
    At { path: PathBuf, line: usize, column: usize, what: String },
    #[error("{}: {what}", path.display())]
    Whole { path: PathBuf, what: String },
}

impl Config {
    /// Reads a build file. Its paths are relative to its folder.
    pub fn load(path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Config::parse(path, text)
    }

    /// The same, with the file's text at hand.
    pub fn parse(path: &Path, text: String) -> Result<Config, ConfigError> {
        let empty = Section::default;
        let mut config = Config {
            path: path.to_owned(),
            text,
            top: empty(),
            models: BTreeMap::new(),
            profiles: BTreeMap::new(),
            outputs: None,
        };
        let text = config.text.clone();
        config.read(&text).map_err(|fault| config.error(fault))?;
        config.check()?;
        Ok(config)
    }

    /// Writes all outputs into this folder instead, under the names that their files have.
    pub fn into_folder(mut self, folder: impl Into<PathBuf>) -> Config {
        self.outputs = Some(folder.into());
        self
    }

    /// What a profile makes; every profile where none is named, or the models as they stand if there is none.
    pub fn targets(&self, profile: Option<&str>) -> Result<Vec<Target>, ConfigError> {
        let profiles: Vec<Option<&str>> = match profile {
            Some(name) if self.profiles.contains_key(name) => vec![Some(name)],
            Some(name) => {
                let hint = keys::nearest(name, self.profiles.keys().map(String::as_str));
                let hint = hint.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                return Err(self.whole(format!("there is no profile `{name}`{hint}")));
            }
            None if self.profiles.is_empty() => vec![None],
            None => self.profiles.keys().map(|name| Some(name.as_str())).collect(),
        };
        let mut targets = vec![];
        for profile in profiles {
            let models = self.names().into_iter().map(|model| self.target(&model, profile));
            targets.extend(models.collect::<Result<Vec<_>, _>>()?);
        }
        self.no_two_alike(&targets)?;
        Ok(targets)
    }

    /// The folder that paths are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn read(&mut self, text: &str) -> Result<(), Fault> {
        let root = DeTable::parse(text)
            .map_err(|e| Fault::new(e.span().unwrap_or_default(), e.message().replace('\n', ", ")))?;
        let root = root.get_ref();
        self.top = Section::read(root, &["model", "profile"])?;
        for (name, value) in entries(root, "model")? {
            let section = Section::read(table(value, "a model")?, &[])?;
            self.models.insert(name, section);
        }
        for (name, value) in entries(root, "profile")? {
            let inner = table(value, "a profile")?;
            let section = Section::read(inner, &["model"])?;
            let mut models = BTreeMap::new();
            for (model, value) in entries(inner, "model")? {
                models.insert(model, Section::read(table(value, "a model")?, &[])?);
            }
            self.profiles.insert(name, Profile { section, models });
        }
        Ok(())
    }

    /// Fails for names that nothing has, and for what extends itself.
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(extends) = &self.top.extends {
            return Err(self.at(extends, "only models and profiles extend another one"));
        }
        if let Some(input) = self.top.input.as_ref().filter(|_| !self.models.is_empty()) {
            return Err(self.at(input, "an `input` stands in each [model.NAME] where there are such"));
        }
        if self.names().is_empty() {
            return Err(
                self.whole("there is no model: give `input` and `output`, or a table [model.NAME] that has them")
            );
        }
        for name in self.models.keys() {
            self.chain("model", name, |n| self.models.get(n))?;
        }
        for (name, profile) in &self.profiles {
            self.chain("profile", name, |n| self.profiles.get(n).map(|p| &p.section))?;
            let names = self.names();
            if let Some(model) = profile.models.keys().find(|m| !names.contains(m)) {
                let fault = unknown("model", model, 0..0, names.iter().map(String::as_str));
                return Err(self.whole(format!("[profile.{name}.model.{model}]: {}", fault.what)));
            }
        }
        Ok(())
    }

    /// A section and those that it extends, the outermost last; read from the far end, each overrides the one before.
    fn chain<'a>(
        &'a self,
        what: &str,
        name: &str,
        find: impl Fn(&str) -> Option<&'a Section>,
    ) -> Result<Vec<(String, &'a Section)>, ConfigError> {
        let mut chain: Vec<(String, &Section)> = find(name).map(|s| (name.to_owned(), s)).into_iter().collect();
        while let Some(base) = chain.last().and_then(|(_, section)| section.extends.as_ref()) {
            if chain.iter().any(|(seen, _)| *seen == base.value) {
                return Err(self.at(base, &format!("the {what} `{}` extends itself", base.value)));
            }
            let there = match what {
                "model" => self.models.keys().collect::<Vec<_>>(),
                _ => self.profiles.keys().collect(),
            };
            let section = find(&base.value).ok_or_else(|| {
                self.error(unknown(what, &base.value, base.at.clone(), there.into_iter().map(String::as_str)))
            })?;
            chain.push((base.value.clone(), section));
        }
        Ok(chain)
    }

    /// The models' names; a file without tables for models has one, named after its input.
    fn names(&self) -> Vec<String> {
        if !self.models.is_empty() {
            return self.models.keys().cloned().collect();
        }
        let stem = self.top.input.as_ref().and_then(|i| Path::new(&i.value).file_stem());
        stem.map(|s| s.to_string_lossy().into_owned()).into_iter().collect()
    }

    fn target(&self, model: &str, profile: Option<&str>) -> Result<Target, ConfigError> {
        let mut whole = self.top.clone();
        for (_, section) in self.chain("model", model, |n| self.models.get(n))?.into_iter().rev() {
            whole.overlay(section);
        }
        if let Some(profile) = profile {
            let chain = self.chain("profile", profile, |n| self.profiles.get(n).map(|p| &p.section))?;
            for (name, section) in chain.into_iter().rev() {
                whole.overlay(section);
                if let Some(section) = self.profiles[&name].models.get(model) {
                    whole.overlay(section);
                }
            }
        }
        Target::new(self, model, profile, &whole)
    }

    fn no_two_alike(&self, targets: &[Target]) -> Result<(), ConfigError> {
        for (i, target) in targets.iter().enumerate() {
            if let Some(other) = targets[..i].iter().find(|t| files::same_place(&t.output, &target.output)) {
                let (a, b, file) = (&other.name, &target.name, target.shown_output());
                let hint = "put {model} or {profile} into `output`";
                return Err(self.whole(format!("`{a}` and `{b}` would both be written to {file}; {hint}")));
            }
        }
        Ok(())
    }

    pub(super) fn whole(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Whole { path: self.path.clone(), what: what.into() }
    }

    pub(super) fn at<T>(&self, place: &At<T>, what: &str) -> ConfigError {
        self.error(Fault::new(place.at.clone(), what))
    }

    fn error(&self, fault: Fault) -> ConfigError {
        let before = self.text.get(..fault.at.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ConfigError::At { path: self.path.clone(), line, column, what: fault.what }
    }
}

/// The tables within a table, by name.
fn entries<'a, 'i>(root: &'a DeTable<'i>, key: &str) -> Result<Vec<(String, &'a Spanned<DeValue<'i>>)>, Fault> {
    let Some((_, value)) = root.iter().find(|(k, _)| k.get_ref() == key) else { return Ok(vec![]) };
    let named = table(value, &format!("`{key}` (write [{key}.NAME])"))?.iter();
    Ok(named.map(|(name, value)| (name.get_ref().to_string(), value)).collect())
}
