//! Panics of a library that we don't control, turned into errors.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`caught`].
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What the last panic inside [`caught`] said, and where.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work`; a panic in it becomes an error and prints nothing. `error` makes it, from what the panic said.
pub fn caught<T, E>(work: impl FnOnce() -> Result<T, E>, error: impl FnOnce(String) -> E) -> Result<T, E> {
    quiet_inside();
    let outer = INSIDE.replace(true);
    // What `work` may leave half done is dropped with it, or is never used again.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    outcome.unwrap_or_else(|_| Err(error(LAST.take())))
}

/// Puts a hook before the present one, once. Panics elsewhere are printed as ever.
fn quiet_inside() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                return before(info);
            }
            let text = info.payload_as_str().unwrap_or("a panic without words");
            let place = info.location().map(|l| format!(" ({l})")).unwrap_or_default();
            LAST.set(format!("{text}{place}"));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let said = caught(|| -> Result<(), String> { panic!("so {}", "what") }, |said| said).expect_err("it panics");
        assert!(said.starts_with("so what (src"), "{said}");
        assert_eq!(caught(|| Ok(1), |said: String| said), Ok(1));
    }
}
