//! Files that are there whole or not at all.

use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// The folder of a file.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is gone if it never gets a name, with the usual permissions.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // What the process may not give away is masked out.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(".secateur-").tempfile_in(folder)
}

/// Writes a file under a temporary name and renames it when it is whole.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = temporary(folder(path))?;
    file.write_all(content.as_ref())?;
    file.persist(path).map(drop).map_err(|e| e.error)
}
