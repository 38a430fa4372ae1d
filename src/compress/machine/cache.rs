//! Tables that were measured before, in the user's cache folder: by machine, and by the shapes of a model's fused
//! subgraphs.

use super::table::Table;
use super::{Host, Quantity};
use crate::files;
use std::path::{Path, PathBuf};

/// Where the table of a model on this machine is kept.
pub(crate) struct Cache {
    file: PathBuf,
}

impl Cache {
    /// The place for a table of these shapes; `None` where the user has no cache folder.
    pub(crate) fn of<'a>(host: &Host, quantity: Quantity, shapes: impl Iterator<Item = &'a str>) -> Option<Cache> {
        let mut shapes: Vec<&str> = shapes.collect();
        shapes.sort_unstable();
        shapes.dedup();
        let hash = |bytes: &[u8]| xxhash_rust::xxh3::xxh3_64(bytes);
        let host = hash(&serde_json::to_vec(host).ok()?);
        let model = hash(shapes.join("\n").as_bytes());
        Some(Cache { file: folder()?.join("secateur").join(format!("{quantity}-{host:016x}-{model:016x}.json")) })
    }

    /// Where the table is.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// The table, if it is there and sound.
    pub(crate) fn read(&self) -> Option<Table> {
        Table::read(&self.file).ok()
    }

    /// Keeps a table: whole, or not at all.
    pub(crate) fn write(&self, table: &Table) -> std::io::Result<()> {
        std::fs::create_dir_all(files::folder(&self.file))?;
        files::write(&self.file, serde_json::to_vec(table)?)
    }
}

/// The user's cache folder, as each system has it.
fn folder() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(folder) = var("XDG_CACHE_HOME") {
        return Some(folder);
    }
    match std::env::consts::OS {
        "windows" => var("LOCALAPPDATA"),
        "macos" => Some(var("HOME")?.join("Library").join("Caches")),
        _ => Some(var("HOME")?.join(".cache")),
    }
}
