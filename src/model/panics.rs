//! Panics of a library that we don't control, turned into errors.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

thread_local! {
    /// Whether this thread is inside [`caught`].
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What the last panic inside [`caught`] said.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// How the names of threads begin that belong to a library, and what the first panic on one of them said.
static ABROAD: OnceLock<&[&str]> = OnceLock::new();
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Runs `work`; a panic in it becomes an error and prints nothing. `error` makes it, from what the panic said.
pub(crate) fn caught<T, E>(work: impl FnOnce() -> Result<T, E>, error: impl FnOnce(String) -> E) -> Result<T, E> {
    quiet_inside();
    let outer = INSIDE.replace(true);
    // What `work` may leave half done is dropped with it, or is never used again.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    outcome.unwrap_or_else(|_| Err(error(LAST.take())))
}

/// The same for work that a library hands on to threads of its own, whose names begin so (the same ones in all calls).
/// Their panics print nothing either, and are the reason that is told: here comes no more than that no answer came.
pub(crate) fn caught_abroad<T, E>(
    threads: &'static [&'static str],
    work: impl FnOnce() -> Result<T, E>,
    error: impl FnOnce(String) -> E,
) -> Result<T, E> {
    ABROAD.get_or_init(|| threads);
    let first = || FIRST.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(first());
    caught(work, |said| error(first().unwrap_or(said)))
}

/// Puts a hook before the present one, once. Panics elsewhere are printed as ever.
fn quiet_inside() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let said = info.payload_as_str().unwrap_or("a panic without words").to_owned();
            // Where in a library's source is of no use to users, and may be a path of whoever built it.
            if let Some(place) = info.location().filter(|_| INSIDE.get() || is_abroad()) {
                tracing::debug!(%place, "caught: {said}");
            }
            match INSIDE.get() {
                true => LAST.set(said),
                false if is_abroad() => {
                    FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(said);
                }
                false => before(info),
            }
        }));
    });
}

/// Whether this thread is a library's own.
fn is_abroad() -> bool {
    let thread = std::thread::current();
    let named = |begin: &&str| thread.name().is_some_and(|name| name.starts_with(*begin));
    ABROAD.get().is_some_and(|threads| threads.iter().any(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let said = caught(|| -> Result<(), String> { panic!("so {}", "what") }, |said| said).expect_err("it panics");
        assert!(said == "so what", "{said}");
        assert_eq!(caught(|| Ok(1), |said: String| said), Ok(1));
    }

    #[test]
    #[cfg(feature = "gradients")]
    fn a_panic_on_a_thread_of_the_library_is_the_reason() {
        let work = || -> Result<(), String> {
            let thread = std::thread::Builder::new().name("DSD-0-0".into()).spawn(|| panic!("the reason"));
            thread.expect("a thread").join().expect("an answer");
            Ok(())
        };
        let said = caught_abroad(crate::autograd::THREADS, work, |said| said).expect_err("it panics");
        assert!(said == "the reason", "{said}");
    }
}
