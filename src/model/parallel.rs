//! Work side by side on the cores of this machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads may run at once: as many as there are cores, or as `RAYON_NUM_THREADS` says, which the libraries
/// follow, too.
pub(crate) fn cores() -> usize {
    let said = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    said.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What `work` makes of each thing, in the order of the things. No more threads run than there are cores.
///
/// # Panics
///
/// If `work` does.
pub(crate) fn side_by_side<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    side_by_side_on(cores(), things, work)
}

/// The same on so many threads at most.
///
/// # Panics
///
/// If `work` does.
pub(crate) fn side_by_side_on<T: Sync, R: Send>(threads: usize, things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(things.len());
    if threads < 2 {
        return things.iter().map(work).collect();
    }
    let (next, made) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(thing) = things.get(at) else { break };
                    let one = work(thing);
                    made.lock().expect("no thread breaks down here").push((at, one));
                }
            });
        }
    });
    let mut made = made.into_inner().expect("no thread breaks down here");
    made.sort_unstable_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, one)| one).collect()
}

/// Works on each thing, on as many threads as there are cores.
///
/// # Panics
///
/// If `work` does.
pub(crate) fn each_side_by_side<T: Send>(things: &mut [T], work: impl Fn(&mut T) + Sync) {
    let threads = cores().min(things.len());
    if threads < 2 {
        return things.iter_mut().for_each(work);
    }
    let waiting = Mutex::new(things.iter_mut());
    let next = || waiting.lock().expect("no thread breaks down here").next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(thing) = next() {
                    work(thing);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_things() {
        let things: Vec<u64> = (0..50).collect();
        let slow = |&n: &u64| {
            std::thread::sleep(std::time::Duration::from_micros((n * 7919) % 300));
            n * n
        };
        assert_eq!(side_by_side(&things, slow), things.iter().map(|n| n * n).collect::<Vec<_>>());
        assert!(side_by_side(&[] as &[u64], slow).is_empty());
    }
}
