//! ONNX Runtime's library: where it is, and which one is loaded.
//!
//! A process loads one, and keeps it: the library does not like to be unloaded. Which one depends on the machine alone,
//! so whoever asks finds the same.

mod search;
mod sound;

pub(super) use search::{Candidate, Origin};

use super::onnxruntime::{self, Loaded};
use super::{Lookup, OracleError, guarded};
use search::Places;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What systems are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    fn here() -> System {
        match std::env::consts::OS {
            "macos" => System::MacOs,
            "windows" => System::Windows,
            _ => System::Linux,
        }
    }

    /// The version in a library's file name, which may have none; `None` for any other file.
    fn version_in(self, name: &str) -> Option<Vec<u64>> {
        let version = match self {
            System::Linux => name.strip_prefix("libonnxruntime.so")?,
            System::MacOs => name.strip_prefix("libonnxruntime")?.strip_suffix(".dylib")?,
            System::Windows => return (name == "onnxruntime.dll").then(Vec::new),
        };
        match version.strip_prefix('.') {
            Some(version) => search::numbers(version).filter(|v| !v.is_empty()),
            None => version.is_empty().then(Vec::new),
        }
    }
}

/// A library that was loaded.
pub(super) struct Library {
    pub candidate: Candidate,
    pub loaded: Loaded,
}

/// A file that is no use, and why.
#[derive(Clone, Debug)]
pub(super) struct PassedOver {
    pub candidate: Candidate,
    pub why: String,
}

/// What a search came to.
#[derive(Clone)]
pub(super) struct Found {
    pub library: Option<&'static Library>,
    /// What was tried before.
    pub passed_over: Vec<PassedOver>,
}

/// Searches that were made, with what they found: the first one that finds a library decides for the process.
static SEARCHES: Mutex<Vec<(Lookup, Found)>> = Mutex::new(vec![]);

/// Looks for the library, and loads the first one that can be used.
pub(super) fn find(lookup: &Lookup) -> Found {
    let mut searches = SEARCHES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = searches.iter().find(|(known, _)| known == lookup) {
        return found.clone();
    }
    let known = searches.iter().find_map(|(_, found)| found.library);
    let found = match (known, lookup) {
        (Some(known), Lookup::Nowhere | Lookup::Usual) => Found { library: Some(known), passed_over: vec![] },
        _ => tried(candidates(lookup), known),
    };
    for PassedOver { candidate, why } in &found.passed_over {
        let path = candidate.path.display();
        tracing::info!("ONNX Runtime: {path} ({}) is passed over: {why}", candidate.origin);
    }
    if let Some(library) = found.library.filter(|_| known.is_none()) {
        let Candidate { path, origin } = &library.candidate;
        tracing::info!("ONNX Runtime {}: {} ({origin})", library.loaded.version, path.display());
    }
    searches.push((lookup.clone(), found.clone()));
    found
}

/// The first of these that can be loaded. Where one is loaded already, only that one can.
fn tried(candidates: Vec<Candidate>, known: Option<&'static Library>) -> Found {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let mut passed_over = vec![];
    for candidate in candidates {
        let loaded = match known {
            Some(known) if real(&known.candidate.path) == real(&candidate.path) => Ok(known),
            Some(known) => Err(format!("{} is loaded already", known.candidate.path.display())),
            None => load(&candidate).map(|loaded| {
                let library = Library { candidate: candidate.clone(), loaded };
                &*Box::leak(Box::new(library))
            }),
        };
        match loaded {
            Ok(library) => return Found { library: Some(library), passed_over },
            Err(why) => passed_over.push(PassedOver { candidate, why }),
        }
    }
    Found { library: None, passed_over }
}

fn load(candidate: &Candidate) -> Result<Loaded, String> {
    if cfg!(target_feature = "crt-static") && System::here() == System::Linux {
        return Err("this binary is linked statically, and can load no library".into());
    }
    sound::check(&candidate.path, System::here())?;
    guarded(|| onnxruntime::load(&candidate.path).map_err(OracleError::NoLibrary)).map_err(|e| match e {
        OracleError::NoLibrary(why) | OracleError::Panic(why) => why,
        other => other.to_string(),
    })
}

fn candidates(lookup: &Lookup) -> Vec<Candidate> {
    let binary = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let places =
        Places { os: System::here(), variable: &|name| std::env::var_os(name), binary, root: PathBuf::from("/") };
    match lookup {
        Lookup::At(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let given = |path| Candidate { path, origin: Origin::Given };
            places.named(&path).into_iter().map(given).collect()
        }
        Lookup::Nowhere | Lookup::Usual => places.candidates(),
    }
}

impl Found {
    /// Why there is no library, in a sentence.
    pub(super) fn why_not(&self) -> String {
        let one = |p: &PassedOver| format!("{} ({}): {}", p.candidate.path.display(), p.candidate.origin, p.why);
        match &self.passed_over[..] {
            [] => "its library is in none of the usual places".into(),
            tried => tried.iter().map(one).collect::<Vec<_>>().join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_names() {
        let version = |name| System::Linux.version_in(name);
        assert_eq!(version("libonnxruntime.so"), Some(vec![]));
        assert_eq!(version("libonnxruntime.so.1.22.0"), Some(vec![1, 22, 0]));
        for other in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.1.bak", "libonnxruntime.so.", "x"] {
            assert_eq!(version(other), None, "{other}");
        }
        assert_eq!(System::MacOs.version_in("libonnxruntime.1.22.0.dylib"), Some(vec![1, 22, 0]));
        assert_eq!(System::MacOs.version_in("libonnxruntime.so"), None);
    }

    #[test]
    fn what_can_not_be_loaded_is_passed_over_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("libonnxruntime.so");
        std::fs::write(&text, "no library").unwrap();
        let none = folder.path().join("none.so");
        let candidate = |path: &PathBuf| Candidate { path: path.clone(), origin: Origin::Variable };
        let found = tried(vec![candidate(&text), candidate(&none)], None);
        assert!(found.library.is_none());
        let why: Vec<&str> = found.passed_over.iter().map(|p| p.why.as_str()).collect();
        assert!(why.len() == 2 && why[0] == "it is no library of this system", "{why:?}");
        assert!(found.why_not().contains("(ORT_DYLIB_PATH): it is no library"), "{}", found.why_not());
    }
}
