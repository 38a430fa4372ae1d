//! Patterns over names: what is let in, and what is left alone.

use super::ChooseError;
use globset::{Glob, GlobSet, GlobSetBuilder};

/// Globs of which a name must fit one to be let in, and must fit none.
pub struct Patterns<'a> {
    texts: Vec<&'a String>,
    include: GlobSet,
    exclude: GlobSet,
    /// Which patterns fitted anything.
    hits: Vec<bool>,
}

impl<'a> Patterns<'a> {
    /// Without patterns to include, everything is let in.
    pub fn new(include: &'a [String], exclude: &'a [String]) -> Result<Patterns<'a>, ChooseError> {
        let texts: Vec<&String> = include.iter().chain(exclude).collect();
        let hits = vec![false; texts.len()];
        Ok(Patterns { texts, include: globs(include)?, exclude: globs(exclude)?, hits })
    }

    /// Whether something that goes by these names is let in.
    pub fn let_in(&mut self, names: &[String]) -> bool {
        let (mut wanted, mut unwanted) = (self.include.is_empty(), false);
        for name in names {
            for i in self.include.matches(name) {
                self.hits[i] = true;
                wanted = true;
            }
            for i in self.exclude.matches(name) {
                self.hits[self.include.len() + i] = true;
                unwanted = true;
            }
        }
        wanted && !unwanted
    }

    /// Fails if a pattern fitted nothing.
    pub fn finish(self) -> Result<(), ChooseError> {
        match self.hits.iter().position(|hit| !hit) {
            Some(i) => Err(ChooseError::NoMatch(self.texts[i].clone())),
            None => Ok(()),
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, ChooseError> {
    let fail = |pattern: &str| {
        let pattern = pattern.to_owned();
        move |error| ChooseError::Pattern { pattern, error }
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(fail(pattern))?);
    }
    set.build().map_err(fail(&patterns.join(" ")))
}
