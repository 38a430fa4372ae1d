//! Links between documents, and from them into the repository.

use crate::{REPOSITORY, name, read, root};
use std::path::Path;

/// The links of a document that lead nowhere.
pub(crate) fn broken(path: &Path) -> Vec<String> {
    let text = read(path);
    let mut code = false;
    let mut broken = vec![];
    for (i, line) in text.lines().enumerate() {
        code ^= line.starts_with("```");
        if code || line.starts_with("    ") {
            continue;
        }
        let wrong = targets(line).into_iter().filter_map(|target| fault(path, &text, target));
        broken.extend(wrong.map(|why| format!("{}:{}: {why}", name(path), i + 1)));
    }
    broken
}

/// What stands in the round brackets of links.
fn targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

fn fault(from: &Path, text: &str, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match file.strip_prefix(REPOSITORY) {
        Some(file) => root().join(file),
        None if file.contains("://") => return None,
        None if file.is_empty() => from.to_owned(),
        None => from.parent()?.join(file),
    };
    let is_page = file.starts_with(root().join("docs/src")) && from.starts_with(root().join("docs/src"));
    if from.starts_with(root().join("docs/src")) && !is_page && !target.starts_with(REPOSITORY) {
        return Some(format!("`{target}` is outside of the book; write {REPOSITORY}…"));
    }
    if !file.exists() {
        return Some(format!("there is no `{target}`"));
    }
    let there = if file == from {
        text.to_owned()
    } else if file.is_dir() {
        String::new()
    } else {
        read(&file)
    };
    let known = || there.lines().filter_map(heading).any(|h| h == anchor);
    (!anchor.is_empty() && !known()).then(|| format!("`{target}`: there is no heading for `#{anchor}`"))
}

/// The anchor of a heading.
fn heading(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().trim().to_lowercase().replace(' ', "-"))
}
