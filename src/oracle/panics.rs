//! Panics of a library that we don't control, turned into errors.

use super::OracleError;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`caught`].
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What the last panic inside [`caught`] said, and where.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work`; a panic in it becomes an error and prints nothing.
pub fn caught<T>(work: impl FnOnce() -> Result<T, OracleError>) -> Result<T, OracleError> {
    quiet_inside();
    let outer = INSIDE.replace(true);
    // What `work` may leave half done is dropped with it, or is a plan that tract itself never changes.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    outcome.unwrap_or_else(|_| Err(OracleError::Panic(LAST.take())))
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
        let error = caught::<()>(|| panic!("so {}", "what")).expect_err("it panics");
        assert!(error.to_string().starts_with("the oracle broke down: so what (src"), "{error}");
        assert!(caught(|| Ok(1)).is_ok());
    }
}
