use super::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// A machine made up in a folder.
struct Machine {
    root: TempDir,
    os: System,
    variables: BTreeMap<&'static str, OsString>,
}

impl Machine {
    /// With these files, empty all of them.
    fn new(os: System, files: &[&str]) -> Machine {
        let machine = Machine { root: tempfile::tempdir().unwrap(), os, variables: BTreeMap::new() };
        files.iter().for_each(|file| machine.write(file, ""));
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    /// A variable that lists folders of this machine.
    fn with(mut self, name: &'static str, folders: &[&str]) -> Machine {
        let folders: Vec<PathBuf> = folders.iter().map(|f| self.path(f)).collect();
        self.variables.insert(name, std::env::join_paths(folders).unwrap());
        self
    }

    /// What is found, with paths from the root on.
    fn found(&self) -> Vec<String> {
        let variable = |name: &str| self.variables.get(name).cloned();
        let root = self.root.path().to_owned();
        let binary = Some(self.path("opt/secateur/secateur"));
        let places = Places { os: self.os, variable: &variable, binary, root: root.clone() };
        let told = |c: Candidate| {
            let path = c.path.strip_prefix(&root).unwrap_or(&c.path).display().to_string();
            format!("{}: {}", c.origin, path.replace('\\', "/"))
        };
        places.candidates().into_iter().map(told).collect()
    }
}

#[test]
fn all_places_in_order() {
    let machine = Machine::new(
        System::Linux,
        &[
            "usr/bin/node",
            "usr/lib/node_modules/onnxruntime-node/bin/napi-v3/linux/x64/libonnxruntime.so.1",
            "usr/lib/node_modules/onnxruntime-node/bin/napi-v3/linux/arm64/libonnxruntime.so.1",
            "venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0",
            "venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime_providers_shared.so",
            "usr/lib/libonnxruntime.so.1.9.0",
            "usr/lib/libonnxruntime.so.1.21.0",
            "usr/lib/libonnxruntime.so",
            "own/libonnxruntime.so",
            "opt/secateur/libonnxruntime.so.1.22",
            "mine/here.so",
        ],
    );
    let machine = machine.with("ORT_DYLIB_PATH", &["mine/here.so"]).with("VIRTUAL_ENV", &["venv"]);
    let found = machine.with("LD_LIBRARY_PATH", &["own"]).with("PATH", &["usr/bin"]).found();
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let node = format!(
        "Node's onnxruntime-node: usr/lib/node_modules/onnxruntime-node/bin/napi-v3/linux/{processor}/libonnxruntime.so.1"
    );
    let expected = [
        "ORT_DYLIB_PATH: mine/here.so",
        "beside the binary: opt/secateur/libonnxruntime.so.1.22",
        "the loader's path: own/libonnxruntime.so",
        "the loader's path: usr/lib/libonnxruntime.so",
        "the loader's path: usr/lib/libonnxruntime.so.1.21.0",
        "the loader's path: usr/lib/libonnxruntime.so.1.9.0",
        "Python's onnxruntime: venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0",
        &node,
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_python_of_the_path_is_found_by_its_own_place() {
    let files = [
        "usr/bin/python3",
        "usr/lib/python3/dist-packages/onnxruntime/capi/libonnxruntime.so.1.1.0",
        "usr/local/lib/python3.9/dist-packages/onnxruntime/capi/libonnxruntime.so.1.2.0",
        "usr/local/lib/python3.11/dist-packages/onnxruntime/capi/libonnxruntime.so.1.3.0",
        "home/.local/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.4.0",
    ];
    let machine = Machine::new(System::Linux, &files).with("PATH", &["empty", "usr/bin"]).with("HOME", &["home"]);
    let versions: Vec<String> =
        machine.found().iter().map(|f| f.rsplit("so.").next().unwrap_or_default().into()).collect();
    assert_eq!(versions, ["1.4.0", "1.3.0", "1.2.0", "1.1.0"]);
}

#[cfg(unix)]
#[test]
fn an_environment_by_its_link_to_another_python() {
    let files = ["usr/bin/python3", "env/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.5.0"];
    let machine = Machine::new(System::Linux, &files).with("PATH", &["env/bin"]);
    std::fs::create_dir_all(machine.path("env/bin")).unwrap();
    std::os::unix::fs::symlink(machine.path("usr/bin/python3"), machine.path("env/bin/python3")).unwrap();
    assert_eq!(machine.found().len(), 1);
}

#[test]
fn no_folder_depends_on_the_current_one() {
    let current = std::env::current_dir().unwrap();
    let mut machine = Machine::new(System::Linux, &[]);
    for (name, value) in [("LD_LIBRARY_PATH", ":.:lib"), ("PATH", ".:bin"), ("VIRTUAL_ENV", "venv"), ("HOME", "")] {
        machine.variables.insert(name, value.into());
    }
    let variable = |name: &str| machine.variables.get(name).cloned();
    let root = machine.root.path().to_owned();
    let places = Places { os: System::Linux, variable: &variable, binary: None, root };
    let folders = [places.loader(), places.python(), places.node()].concat();
    assert!(!folders.is_empty() && folders.iter().all(|f| f.is_absolute() && !f.starts_with(&current)), "{folders:?}");
}

#[test]
fn the_loaders_configuration_is_read() {
    let machine =
        Machine::new(System::Linux, &["usr/lib/some-linux-gnu/libonnxruntime.so.1.20.0", "more/libonnxruntime.so"]);
    machine.write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf # all\n");
    machine.write("etc/ld.so.conf.d/some.conf", "# Multiarch\n/usr/lib/some-linux-gnu\nrelative\n");
    // A configuration that includes itself ends.
    machine.write("etc/ld.so.conf.d/more.conf", "/more\ninclude /etc/ld.so.conf\n");
    assert_eq!(machine.found().len(), 2);
}

#[test]
fn other_systems_have_other_names() {
    let mac = Machine::new(
        System::MacOs,
        &[
            "opt/homebrew/lib/libonnxruntime.dylib",
            "opt/homebrew/lib/libonnxruntime.1.22.0.dylib",
            "opt/homebrew/lib/libonnxruntime.so",
        ],
    );
    let found = [
        "the loader's path: opt/homebrew/lib/libonnxruntime.dylib",
        "the loader's path: opt/homebrew/lib/libonnxruntime.1.22.0.dylib",
    ];
    assert_eq!(mac.found(), found);
    let windows = Machine::new(System::Windows, &["env/Lib/site-packages/onnxruntime/capi/onnxruntime.dll"]);
    let found = ["Python's onnxruntime: env/Lib/site-packages/onnxruntime/capi/onnxruntime.dll"];
    assert_eq!(windows.with("VIRTUAL_ENV", &["env"]).found(), found);
}
