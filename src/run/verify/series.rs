//! Many samples through one model.

use super::{Role, VerifyError, runner_on};
use crate::feed::Feed;
use crate::ir::Model;
use crate::oracle::{Latest, Outputs, Runner, Setup};

/// A model that is run on feeds, of which some may be of other sizes than the others: these need a runner of their own.
pub struct Series<'a> {
    setup: &'a Setup,
    model: &'a Model,
    which: Role,
    ready: Latest<Runner>,
}

impl Series<'_> {
    /// Of a model, which errors call so.
    pub fn new<'a>(setup: &'a Setup, model: &'a Model, which: Role) -> Series<'a> {
        Series { setup, model, which, ready: Latest::default() }
    }

    /// How many feeds are best given at a time.
    pub fn at_once(&self) -> usize {
        self.setup.side_by_side()
    }

    /// What comes out for each of these feeds, which are run side by side.
    pub fn run(&mut self, feeds: &[Feed]) -> Result<Vec<Outputs>, VerifyError> {
        let (mut outputs, mut rest) = (vec![], feeds);
        while let Some(first) = rest.first() {
            let signature = first.signature();
            let alike = rest.iter().take_while(|feed| feed.signature() == signature).count();
            let (now, later) = rest.split_at(alike);
            let runner = self.ready.of(&signature, || runner_on(self.setup, self.model, self.which, first))?;
            outputs.extend(runner.run_all(now).map_err(|error| VerifyError::Oracle { which: self.which, error })?);
            rest = later;
        }
        Ok(outputs)
    }
}
