//! The energy that processors say they took: Linux's powercap counters (RAPL), where they may be read.

use std::path::{Path, PathBuf};

/// The counters of all packages.
pub(crate) struct Rapl {
    zones: Vec<Zone>,
}

struct Zone {
    counter: PathBuf,
    /// At which count it begins anew, in microjoules.
    range: u64,
}

/// Where Linux keeps them.
const FOLDER: &str = "/sys/class/powercap";

impl Rapl {
    /// The counters of this machine, if there are any and they may be read.
    pub(crate) fn here() -> Option<Rapl> {
        Rapl::at(Path::new(FOLDER))
    }

    fn at(folder: &Path) -> Option<Rapl> {
        let entries = std::fs::read_dir(folder).ok()?;
        // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it. AMD's processors have the same names.
        let is_package = |name: &str| name.starts_with("intel-rapl:") && name.matches(':').count() == 1;
        let packages = entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_package));
        let zone = |dir: PathBuf| {
            let zone = Zone { counter: dir.join("energy_uj"), range: number(&dir.join("max_energy_range_uj"))? };
            number(&zone.counter).map(|_| zone)
        };
        let zones: Vec<Zone> = packages.filter_map(|e| zone(e.path())).collect();
        (!zones.is_empty()).then_some(Rapl { zones })
    }

    /// The counters as they stand.
    pub(crate) fn read(&self) -> Vec<u64> {
        self.zones.iter().map(|z| number(&z.counter).unwrap_or(0)).collect()
    }

    /// The microjoules between two readings; a counter begins anew once at most.
    pub(crate) fn between(&self, before: &[u64], after: &[u64]) -> u64 {
        let taken =
            |((zone, &a), &b): ((&Zone, &u64), &u64)| if b >= a { b - a } else { zone.range - a.min(zone.range) + b };
        self.zones.iter().zip(before).zip(after).map(taken).sum()
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_add_up_and_counters_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let write = |zone: &str, file: &str, text: &str| {
            let dir = folder.path().join(zone);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(file), text).unwrap();
        };
        assert!(Rapl::at(folder.path()).is_none());
        for (zone, count) in [("intel-rapl:0", "90\n"), ("intel-rapl:1", "10\n"), ("intel-rapl:0:0", "5\n")] {
            write(zone, "energy_uj", count);
            write(zone, "max_energy_range_uj", "100\n");
        }
        let rapl = Rapl::at(folder.path()).unwrap();
        let before = rapl.read();
        write("intel-rapl:0", "energy_uj", "20");
        write("intel-rapl:1", "energy_uj", "25");
        assert_eq!(rapl.between(&before, &rapl.read()), 30 + 15);
    }
}
