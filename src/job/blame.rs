//! Which of many things are to blame that all of them together fail a test.
//!
//! The things are halved, and each half is tried together with all that is known to be good by then (as in A. Zeller,
//! R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input"). So what is left in the end was tried as a
//! whole, and faults that need two things to show cost one of them. Things of a class are alike: once two of a class
//! are to blame and none is known to be good, the others of that class are left out without a try, and once one is, its
//! like wait until all others are settled. What the runs do not suffice for is left out too.

use std::collections::HashMap;

/// What became of the things.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// What passes the test, all of it together; ascending.
    pub good: Vec<usize>,
    /// What fails it beside the good ones, each tried by itself.
    pub guilty: Vec<usize>,
    /// What is like the guilty ones, and was left out without a try.
    pub alike: Vec<usize>,
    /// What was left out because there were no runs left.
    pub undecided: Vec<usize>,
    /// How many tests were run.
    pub runs: usize,
}

impl Found {
    /// All that is left out, ascending.
    pub fn left_out(&self) -> Vec<usize> {
        let mut all = [&self.guilty[..], &self.alike, &self.undecided].concat();
        all.sort_unstable();
        all
    }
}

/// How many of a class are to blame before its others are taken to be.
const ENOUGH: usize = 2;

/// Finds out which of the things 0, 1, … are to blame, in `limit` tests at most. `classes` has a number for each thing;
/// all of them together are known to fail. `passes` is asked of lists of things, ascending; nothing at all is taken to
/// pass.
pub fn find<E>(classes: &[u64], limit: usize, passes: impl FnMut(&[usize]) -> Result<bool, E>) -> Result<Found, E> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    let first = |class: u64| classes.iter().position(|&c| c == class);
    order.sort_by_key(|&i| (first(classes[i]), i));
    let (known, waiting) = (HashMap::new(), vec![]);
    let mut search = Search { classes, limit, passes, found: Found::default(), known, patient: true, waiting };
    search.examine(&order, true)?;
    // One class after the other: what is like the guilty ones of one says nothing of the next.
    let waiting = std::mem::take(&mut search.waiting);
    search.patient = false;
    for class in waiting.chunk_by(|&a, &b| classes[a] == classes[b]) {
        search.examine(class, false)?;
    }
    let Found { good, guilty, alike, undecided, .. } = &mut search.found;
    [good, guilty, alike, undecided].into_iter().for_each(|list| list.sort_unstable());
    Ok(search.found)
}

/// What is known of a class.
#[derive(Default)]
struct Known {
    guilty: usize,
    good: bool,
}

struct Search<'a, T> {
    classes: &'a [u64],
    limit: usize,
    passes: T,
    found: Found,
    known: HashMap<u64, Known>,
    /// Whether what is like a guilty one waits.
    patient: bool,
    waiting: Vec<usize>,
}

impl<E, T: FnMut(&[usize]) -> Result<bool, E>> Search<'_, T> {
    /// Settles some things; `fails` says that they are known to fail beside the good ones. Returns whether all are
    /// good.
    fn examine(&mut self, some: &[usize], fails: bool) -> Result<bool, E> {
        let ripe: Vec<usize> = some.iter().copied().filter(|&i| self.is_ripe(i)).collect();
        let all = ripe.len() == some.len();
        if ripe.is_empty() {
            return Ok(all);
        }
        // A single thing that is known to fail needs no run.
        if !(fails && all) {
            if self.found.runs >= self.limit {
                self.found.undecided.extend(&ripe);
                return Ok(false);
            }
            if self.together_with(&ripe)? {
                return Ok(all);
            }
        }
        match ripe.split_at(ripe.len() / 2) {
            ([], guilty) => {
                let guilty = guilty[0];
                self.known.entry(self.classes[guilty]).or_default().guilty += 1;
                self.found.guilty.push(guilty);
            }
            (first, second) => {
                // If the first half is good, the fault is in the second.
                let good = self.examine(first, false)?;
                self.examine(second, good)?;
            }
        }
        Ok(false)
    }

    /// Whether the good ones pass together with these, which are good then too.
    fn together_with(&mut self, some: &[usize]) -> Result<bool, E> {
        let mut all = [&self.found.good[..], some].concat();
        all.sort_unstable();
        self.found.runs += 1;
        let passes = (self.passes)(&all)?;
        if passes {
            some.iter().for_each(|&i| self.known.entry(self.classes[i]).or_default().good = true);
            self.found.good = all;
        }
        Ok(passes)
    }

    /// Whether a thing is to be looked at now; else it waits, or is left out with those that it is like.
    fn is_ripe(&mut self, thing: usize) -> bool {
        let Some(known) = self.known.get(&self.classes[thing]).filter(|k| k.guilty > 0) else { return true };
        if self.patient {
            self.waiting.push(thing);
        } else if known.guilty >= ENOUGH && !known.good {
            self.found.alike.push(thing);
        } else {
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// What is found where these things are wrong, and these pairs where both are there.
    fn found(classes: &[u64], limit: usize, wrong: &[usize], pairs: &[(usize, usize)]) -> Found {
        let passes = |all: &[usize]| {
            let has = |i: &usize| all.contains(i);
            Ok::<_, Infallible>(!wrong.iter().any(has) && !pairs.iter().any(|(a, b)| has(a) && has(b)))
        };
        find(classes, limit, passes).unwrap()
    }

    fn apart(count: usize) -> Vec<u64> {
        (0..count as u64).collect()
    }

    #[test]
    fn one_is_found_among_many_in_few_runs() {
        for wrong in [0, 17, 63] {
            let found = found(&apart(64), 100, &[wrong], &[]);
            assert_eq!((found.guilty, found.good.len()), (vec![wrong], 63));
            assert!(found.runs <= 12, "{} runs", found.runs);
        }
        let one = found(&apart(1), 100, &[0], &[]);
        assert_eq!((one.guilty, one.runs), (vec![0], 0));
    }

    #[test]
    fn of_two_that_clash_one_goes() {
        let found = found(&apart(8), 100, &[], &[(1, 6)]);
        assert_eq!((found.guilty, found.good), (vec![6], vec![0, 1, 2, 3, 4, 5, 7]));
    }

    #[test]
    fn a_class_is_condemned_by_two_of_it() {
        let classes: Vec<u64> = (0..48).map(|i| i % 3).collect();
        let wrong: Vec<usize> = (0..48).filter(|i| i % 3 == 1).collect();
        let found = found(&classes, 100, &wrong, &[]);
        assert_eq!(found.left_out(), wrong);
        assert_eq!(found.guilty.len(), 2);
        assert!(found.runs <= 16, "{} runs", found.runs);
    }

    #[test]
    fn one_of_a_class_does_not_condemn_the_others() {
        let found = found(&[0; 16], 100, &[3], &[]);
        assert_eq!((found.left_out(), found.alike), (vec![3], vec![]));
    }

    #[test]
    fn runs_are_bounded() {
        let found = found(&apart(64), 10, &(0..64).step_by(2).collect::<Vec<_>>(), &[]);
        assert!(found.runs <= 10 && !found.undecided.is_empty());
    }

    proptest! {
        /// What is good passes, nothing is lost, and with runs enough nothing is left out that need not be.
        #[test]
        fn what_is_left_passes(
            classes in proptest::collection::vec(0..6u64, 1..40),
            wrong in proptest::collection::vec(0..40usize, 1..6),
            pairs in proptest::collection::vec((0..40usize, 0..40usize), 0..3),
            limit in 0..60usize,
        ) {
            let count = classes.len();
            let wrong: Vec<usize> = wrong.into_iter().map(|i| i % count).collect();
            let found = found(&classes, limit, &wrong, &pairs);
            prop_assert!(found.runs <= limit);
            prop_assert!(!found.good.iter().any(|i| wrong.contains(i)));
            prop_assert!(!pairs.iter().any(|(a, b)| found.good.contains(a) && found.good.contains(b)));
            let mut all = [found.good.clone(), found.left_out()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            // Each is to blame by itself: added to the good ones, it fails.
            for &guilty in &found.guilty {
                let clashes = |&(a, b): &(usize, usize)| {
                    let has = |i| i == guilty || found.good.contains(&i);
                    has(a) && has(b)
                };
                prop_assert!(wrong.contains(&guilty) || pairs.iter().any(clashes));
            }
        }
    }
}
