//! Every fuzz target (`fuzz/`) over its corpus, and over mutations of it: seeded, so that no run differs from another.
//!
//! `SECATEUR_FUZZ=200` makes two hundred times as many, with other seeds; `SECATEUR_FUZZ_SEED=7` begins elsewhere. What
//! fails is left in the target's folder of temporary files, named in the message.

#[path = "../fuzz/targets.rs"]
mod targets;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An answer takes a second or two at most; a machine that has other things to do is given time. What takes longer never
/// ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of a mutated file at most.
const LONGEST: usize = 1 << 16;

#[test]
fn models() {
    smoke("model", 150);
}

#[test]
fn texts() {
    smoke("text", 250);
}

#[test]
fn pipelines() {
    smoke("pipeline", 400);
}

#[test]
fn plans() {
    smoke("plan", 300);
}

#[test]
fn build_files() {
    smoke("build_file", 200);
}

#[test]
fn samples() {
    smoke("samples", 300);
}

#[test]
fn diffs() {
    smoke("diff", 150);
}

fn smoke(target: &str, mutations: u64) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "the corpus of {target} is empty");
    for (path, data) in &corpus {
        judge(target, data, &path.to_string_lossy());
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seed = number("SECATEUR_FUZZ_SEED").unwrap_or(0);
    for round in 0..mutations * number("SECATEUR_FUZZ").unwrap_or(1) {
        let mut mutator = Mutator { rng: ChaCha8Rng::seed_from_u64(seed ^ (round << 20)), corpus: &corpus };
        let (path, data) = mutator.mutated();
        judge(target, &data, &format!("round {round} on {}", path.display()));
    }
}

/// Files of the corpus by name, none of them too long to be mutated.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Fails if the target panics, or takes too long.
fn judge(target: &str, data: &[u8], what: &str) {
    let started = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| targets::run(target, data)));
    let took = started.elapsed();
    if answer.is_err() || took > PATIENCE {
        let path = std::env::temp_dir().join(format!("secateur-{target}-{}", std::process::id()));
        std::fs::write(&path, data).unwrap();
        panic!("{target}: {what} took {took:?}, or panicked; see {}", path.display());
    }
}

/// Numbers at which something begins or overflows.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "255",
    "65536",
    "2147483647",
    "1000000000000",
    "4611686018427387904",
    "9223372036854775807",
    "-9223372036854775808",
];

struct Mutator<'a> {
    rng: ChaCha8Rng,
    corpus: &'a [(PathBuf, Vec<u8>)],
}

impl Mutator<'_> {
    fn below(&mut self, end: usize) -> usize {
        (self.rng.next_u64() % end.max(1) as u64) as usize
    }

    /// A file of the corpus with a few changes, and where it came from.
    fn mutated(&mut self) -> (PathBuf, Vec<u8>) {
        let (path, data) = &self.corpus[self.below(self.corpus.len())];
        let mut data = data.clone();
        for _ in 0..=self.below(4) {
            match std::str::from_utf8(&data) {
                Ok(text) if self.below(8) > 0 => data = self.other_words(text).into_bytes(),
                _ => self.other_bytes(&mut data),
            }
        }
        data.truncate(LONGEST);
        (path.clone(), data)
    }

    /// Replaces, removes or repeats a word; a word is a run of letters and digits, or a single other character.
    fn other_words(&mut self, text: &str) -> String {
        let mut words = words(text);
        let at = self.below(words.len());
        let Some(&word) = words.get(at) else { return NUMBERS[self.below(NUMBERS.len())].to_owned() };
        let is_number = |w: &str| w.starts_with(|c: char| c.is_ascii_digit());
        let same = |w: &&str| is_number(w) == is_number(word) && w.len() > 1;
        let others: Vec<&str> = words.iter().copied().filter(same).collect();
        match self.below(6) {
            0 => _ = words.remove(at),
            1 => words.insert(at, word),
            2 | 3 if is_number(word) => words[at] = NUMBERS[self.below(NUMBERS.len())],
            2 | 3 if !others.is_empty() => words[at] = others[self.below(others.len())],
            4 => {
                // A line, or a part of one, once more elsewhere.
                let length = self.below(12).min(words.len() - at);
                let (part, to) = (words[at..at + length].to_vec(), self.below(words.len()));
                words.splice(to..to, part);
            }
            _ => {
                let with = self.below(words.len());
                words.swap(at, with);
            }
        }
        words.concat()
    }

    fn other_bytes(&mut self, data: &mut Vec<u8>) {
        let at = self.below(data.len());
        let end = (at + 1 + self.below(8)).min(data.len());
        match self.below(7) {
            _ if data.is_empty() => data.push(self.below(256) as u8),
            0 => data[at] ^= 1 << self.below(8),
            1 | 2 => data[at] = [0, 1, 127, 128, 255][self.below(5)],
            3 => data[at] = self.below(256) as u8,
            4 => _ = data.drain(at..end),
            5 => {
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
            _ => {
                let (_, other) = &self.corpus[self.below(self.corpus.len())];
                let from = self.below(other.len());
                let to = (from + 1 + self.below(64)).min(other.len());
                data.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}

fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}
