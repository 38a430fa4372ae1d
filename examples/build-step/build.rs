//! Prunes the model that the service embeds, when it or `secateur.toml` changed. A gate that is missed stops the build.

use secateur::build::{self, Config};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::load("secateur.toml")?.into_folder(std::env::var("OUT_DIR")?);
    for built in build::build(&config, None)? {
        for file in built.target.inputs() {
            println!("cargo:rerun-if-changed={}", file.display());
        }
    }
    Ok(())
}
