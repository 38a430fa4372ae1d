//! The page in a real browser, against committed screenshots.
//!
//! Fonts differ from machine to machine, so pictures are compared when they are so small that letters are grey. Where
//! there is no Chromium (`CHROMIUM` names one, else it is looked for in `PATH`) nothing is compared. New pictures are
//! taken with `SECATEUR_SCREENSHOT=write cargo test --lib screenshot`.

#![allow(clippy::print_stderr)]

use super::tests::{report, shown};
use image::{GrayImage, imageops};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The window in which the page is looked at, and the size of the pictures that are compared.
const WINDOW: (u32, u32) = (1000, 1500);
const SMALL: (u32, u32) = (100, 150);

/// The mean difference that is allowed, of 255. Other fonts come to 5 or so; a page without its style to more than 20.
const TOLERANCE: f64 = 12.0;

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome.exe"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).flat_map(|dir| names.map(|n| dir.join(n))).find(|p| p.is_file());
    named.or_else(found)
}

/// What the browser shows, in grey and small; `None` where it takes its time.
fn look(browser: &Path, dir: &Path, html: &str, dark: bool) -> Option<GrayImage> {
    let (file, shot) = (dir.join("page.html"), dir.join("page.png"));
    std::fs::write(&file, html).unwrap();
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]);
    command.arg(format!("--window-size={},{}", WINDOW.0, WINDOW.1));
    command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    command.arg(format!("--screenshot={}", shot.display())).arg(&file);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            _ = child.kill();
            _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let picture = image::open(&shot).ok()?.to_luma8();
    Some(imageops::thumbnail(&picture, SMALL.0, SMALL.1))
}

/// The mean difference of two pictures of one size.
fn difference(a: &GrayImage, b: &GrayImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn the_page_looks_as_it_did() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: there is no Chromium in PATH, and CHROMIUM names none");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let html = shown(&report(8));
    for (name, dark) in [("light.png", false), ("dark.png", true)] {
        let Some(now) = look(&browser, dir.path(), &html, dark) else {
            eprintln!("skipped: {} takes no pictures here", browser.display());
            return;
        };
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page").join(name);
        if std::env::var_os("SECATEUR_SCREENSHOT").is_some_and(|v| v == "write") {
            now.save(&committed).unwrap();
        }
        let then = image::open(&committed).unwrap().to_luma8();
        let found = difference(&now, &then);
        assert!(found < TOLERANCE, "{name}: the page looks otherwise than it did, by {found:.1} of 255");
        // The measure tells pages apart.
        let bare = look(&browser, dir.path(), &html.replace("<style>", "<style media=\"none\">"), dark);
        assert!(bare.is_none_or(|bare| difference(&bare, &then) > TOLERANCE), "{name}: a page without style passes");
    }
}
