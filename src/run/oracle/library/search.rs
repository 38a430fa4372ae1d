//! Where a library of ONNX Runtime may be, in the order of preference.
//!
//! Nothing is run to find it: an interpreter's packages lie in folders that follow from where the interpreter is. No
//! folder is looked into that is named relative to the current one, and the model's is none of them: whoever sends a
//! model must not get code run with it.

use super::System;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names the library.
pub(super) const VARIABLE: &str = "ORT_DYLIB_PATH";

/// How a library was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The caller named it.
    Given,
    /// The environment variable `ORT_DYLIB_PATH` names it.
    Variable,
    /// It lies beside the binary.
    Beside,
    /// In the folders where the system's loader looks.
    Loader,
    /// In Python's package `onnxruntime`.
    Python,
    /// In Node's package `onnxruntime-node`.
    Node,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Origin::Given => "--ort-library",
            Origin::Variable => VARIABLE,
            Origin::Beside => "beside the binary",
            Origin::Loader => "the loader's path",
            Origin::Python => "Python's onnxruntime",
            Origin::Node => "Node's onnxruntime-node",
        })
    }
}

/// A file that may be the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub path: PathBuf,
    pub origin: Origin,
}

/// The machine, as far as the search looks at it.
pub(super) struct Places<'a> {
    pub os: System,
    /// Environment variables.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub binary: Option<PathBuf>,
    /// Where the system's folders begin.
    pub root: PathBuf,
}

impl Places<'_> {
    /// All files that may be the library, the one to prefer first.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        // Who names a file there means it, wherever it lies from here.
        let named = (self.variable)(VARIABLE).filter(|v| !v.is_empty()).and_then(|v| std::path::absolute(v).ok());
        let variable = named.map(|path| (Origin::Variable, self.named(&path)));
        let beside = self.binary.as_deref().and_then(Path::parent).map(|folder| (Origin::Beside, self.inside(folder)));
        let found = [
            (Origin::Loader, self.in_all(self.loader())),
            (Origin::Python, self.in_all(self.python())),
            (Origin::Node, self.in_all(self.node())),
        ];
        let mut seen = HashSet::new();
        let all = variable.into_iter().chain(beside).chain(found);
        let all = all.flat_map(|(origin, paths)| paths.into_iter().map(move |path| Candidate { path, origin }));
        // The same file by another name is not tried again.
        all.filter(|c| seen.insert(c.path.canonicalize().unwrap_or_else(|_| c.path.clone()))).collect()
    }

    /// The library that a path names: the file, or those in the folder.
    pub(super) fn named(&self, path: &Path) -> Vec<PathBuf> {
        if path.is_dir() { self.inside(path) } else { vec![path.to_owned()] }
    }

    /// The libraries in a folder: that without a version in its name first, then the newest.
    fn inside(&self, folder: &Path) -> Vec<PathBuf> {
        let of = |entry: std::fs::DirEntry| {
            let version = self.os.version_in(entry.file_name().to_str()?)?;
            Some((!version.is_empty(), Reverse(version), entry.path()))
        };
        let mut found: Vec<_> = entries(folder).filter_map(of).collect();
        found.sort_unstable();
        found.into_iter().map(|(.., path)| path).collect()
    }

    fn in_all(&self, folders: Vec<PathBuf>) -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| self.inside(folder)).collect()
    }

    /// The folders where the system's loader looks, as far as they are known without asking it.
    fn loader(&self) -> Vec<PathBuf> {
        let (variables, system): (&[&str], &[&str]) = match self.os {
            System::Linux => {
                (&["LD_LIBRARY_PATH"], &["lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib64", "usr/local/lib"])
            }
            System::MacOs => (
                &["DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"],
                &["opt/homebrew/lib", "usr/local/lib", "usr/lib"],
            ),
            System::Windows => (&["PATH"], &[]),
        };
        let mut folders: Vec<PathBuf> = variables.iter().flat_map(|name| self.list(name)).collect();
        if self.os == System::Linux {
            folders.extend(self.configured(&self.root.join("etc/ld.so.conf"), 0));
        }
        folders.extend(system.iter().map(|folder| self.root.join(folder)));
        folders
    }

    /// The folders in a configuration of the loader, which may include others.
    fn configured(&self, file: &Path, depth: usize) -> Vec<PathBuf> {
        const DEEPEST: usize = 4;
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut folders = vec![];
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            match line.split_once(char::is_whitespace) {
                Some(("include", pattern)) if depth < DEEPEST => {
                    let pattern = self.root.join(pattern.trim().trim_start_matches('/'));
                    let files = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten();
                    folders.extend(files.flat_map(|file| self.configured(&file, depth + 1)));
                }
                _ if line.starts_with('/') => folders.push(self.root.join(line.trim_start_matches('/'))),
                _ => {}
            }
        }
        folders
    }

    /// Where the Python in reach has the library: that of the virtual environment, else that on the path.
    fn python(&self) -> Vec<PathBuf> {
        let prefixes = match self.absolute("VIRTUAL_ENV") {
            Some(environment) => vec![environment],
            None => self.prefixes(if self.os == System::Windows { "python.exe" } else { "python3" }),
        };
        let packages = prefixes.iter().flat_map(|prefix| self.site_packages(prefix));
        packages.map(|packages| packages.join("onnxruntime").join("capi")).collect()
    }

    /// The folders in which a Python of this prefix has packages, those of newer versions first.
    fn site_packages(&self, prefix: &Path) -> Vec<PathBuf> {
        if self.os == System::Windows {
            return vec![prefix.join("Lib").join("site-packages")];
        }
        let mut roots = vec![prefix.to_owned()];
        if prefix == self.root.join("usr") {
            roots.insert(0, self.root.join("usr/local"));
            roots.splice(0..0, self.absolute("HOME").map(|home| home.join(".local")));
        }
        let mut folders = vec![];
        for library in roots.iter().flat_map(|root| ["lib", "lib64"].map(|lib| root.join(lib))) {
            let version = |entry: std::fs::DirEntry| {
                let version = numbers(entry.file_name().to_str()?.strip_prefix("python3")?.trim_start_matches('.'))?;
                Some((Reverse(version), entry.path()))
            };
            let mut versions: Vec<_> = entries(&library).filter_map(version).collect();
            versions.sort_unstable();
            let packages = |(_, path): (_, PathBuf)| ["site-packages", "dist-packages"].map(|name| path.join(name));
            folders.extend(versions.into_iter().flat_map(packages));
        }
        folders
    }

    /// Where the Node on the path has the library, among its global packages.
    fn node(&self) -> Vec<PathBuf> {
        let (program, system) = match self.os {
            System::Linux => ("node", "linux"),
            System::MacOs => ("node", "darwin"),
            System::Windows => ("node.exe", "win32"),
        };
        let prefixes = self.prefixes(program);
        let usr = self.root.join("usr");
        let local = prefixes.contains(&usr).then(|| usr.join("local"));
        let modules: Vec<PathBuf> = match self.os {
            System::Windows => {
                let own = self.absolute("APPDATA").map(|folder| folder.join("npm"));
                own.into_iter().chain(prefixes).map(|prefix| prefix.join("node_modules")).collect()
            }
            _ => prefixes.into_iter().chain(local).map(|prefix| prefix.join("lib").join("node_modules")).collect(),
        };
        let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let mut folders = vec![];
        for binaries in modules.iter().map(|modules| modules.join("onnxruntime-node").join("bin")) {
            let version = |entry: std::fs::DirEntry| {
                let version = numbers(entry.file_name().to_str()?.strip_prefix("napi-v")?)?;
                Some((Reverse(version), entry.path().join(system).join(processor)))
            };
            let mut versions: Vec<_> = entries(&binaries).filter_map(version).collect();
            versions.sort_unstable();
            folders.extend(versions.into_iter().map(|(_, path)| path));
        }
        folders
    }

    /// Under which folders a program on the path is installed: that of its name, and that of the file behind it.
    fn prefixes(&self, program: &str) -> Vec<PathBuf> {
        let Some(program) = self.list("PATH").into_iter().map(|folder| folder.join(program)).find(|p| p.is_file())
        else {
            return vec![];
        };
        let mut prefixes: Vec<PathBuf> = vec![];
        for file in [Some(program.clone()), program.canonicalize().ok()].into_iter().flatten() {
            let folder = file.parent().unwrap_or(&file);
            // On Windows programs lie at the top, but for those of virtual environments.
            let is_below = self.os != System::Windows || folder.ends_with("Scripts");
            let prefix = if is_below { folder.parent() } else { Some(folder) };
            prefixes.extend(prefix.map(Path::to_owned).filter(|p| !prefixes.contains(p)));
        }
        prefixes
    }

    /// The folders that a variable lists. An empty one, or one that is not absolute, would depend on the current folder.
    fn list(&self, name: &str) -> Vec<PathBuf> {
        let value = (self.variable)(name).unwrap_or_default();
        std::env::split_paths(&value).filter(|path| path.is_absolute()).collect()
    }

    /// The absolute path that a variable has; another one would depend on the current folder.
    fn absolute(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// What lies in a folder; nothing where it can't be read.
fn entries(folder: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    std::fs::read_dir(folder).into_iter().flatten().flatten()
}

/// The numbers of a version such as `1.22.0`; none of an empty text.
pub(super) fn numbers(text: &str) -> Option<Vec<u64>> {
    if text.is_empty() {
        return Some(vec![]);
    }
    text.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
