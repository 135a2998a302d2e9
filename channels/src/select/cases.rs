//! The operations of a dynamic select: up to [`FEW`] in place, more in a `Vec`.

use crate::receiver::{Receiver, Source};
use crate::reservation::Reservation;
use crate::select::engine::{Case, CaseList, FEW, SelectMode, Timeout, wait_for};

/// Takes the place of an operation that was removed, and of one that has not been added yet. It is never ready.
static NOTHING: Receiver<()> = Receiver { source: Source::Never };

/// The cases of a dynamic select.
///
/// It has no destructor that may use the borrowed endpoints: `Vec` promises the drop checker not to use them, while
/// `SmallVec` does not. So a select may be declared before the endpoints that it borrows.
#[derive(Clone)]
pub(crate) struct Cases<'a> {
    few: [Case<'a>; FEW],
    /// How many elements of `few` are used. It is 0 if all cases are in `many`.
    count: usize,
    many: Many<'a>,
}

impl<'a> Cases<'a> {
    pub(crate) fn new() -> Cases<'a> {
        Cases {
            few: [Case { operation: &NOTHING, index: usize::MAX }; FEW],
            count: 0,
            many: Many { cases: Vec::new(), order: Vec::new(), removed: 0 },
        }
    }

    /// Waits until one of the cases can be done, as the function of the same name in `engine` does.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, mode: SelectMode, timeout: Timeout) -> Option<(Case<'a>, Reservation)> {
        if self.many.cases.is_empty() {
            wait_for(&mut self.few[..self.count], mode, timeout)
        } else {
            wait_for(&mut self.many, mode, timeout)
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.many.cases.is_empty()
    }

    /// Adds a case, whose index is above all others.
    pub(crate) fn push(&mut self, case: Case<'a>) {
        if self.many.cases.is_empty() && self.count < FEW {
            self.few[self.count] = case;
            self.count += 1;
            return;
        }
        // A random select has exchanged these.
        self.few[..self.count].sort_unstable_by_key(|case| case.index);
        for &case in &self.few[..self.count] {
            self.many.push(case);
        }
        self.count = 0;
        self.many.push(case);
    }

    /// Removes a case. The others keep their order. Returns whether it was there.
    pub(crate) fn remove(&mut self, index: usize) -> bool {
        if !self.many.cases.is_empty() {
            return self.many.remove(index);
        }
        let few = &mut self.few[..self.count];
        let Some(place) = few.iter().position(|case| case.index == index) else { return false };
        few.copy_within(place + 1.., place);
        self.count -= 1;
        true
    }
}

/// A list of any number of cases, from which one is removed in logarithmic time.
///
/// A case that is removed becomes [`NOTHING`]. These are swept when they are more than half of the list. So a removal
/// costs a binary search and its share of a sweep, and a select looks at no more than twice the cases that are left.
#[derive(Clone)]
struct Many<'a> {
    /// In the order of their indices.
    cases: Vec<Case<'a>>,
    /// The places in `cases`, in the order in which the engine sees them. A random select changes this order.
    order: Vec<usize>,
    /// How many of the cases are `NOTHING`.
    removed: usize,
}

fn is_removed(case: &Case<'_>) -> bool {
    core::ptr::addr_eq(case.operation, &raw const NOTHING)
}

impl<'a> Many<'a> {
    fn push(&mut self, case: Case<'a>) {
        self.order.push(self.cases.len());
        self.cases.push(case);
    }

    fn remove(&mut self, index: usize) -> bool {
        let Ok(place) = self.cases.binary_search_by_key(&index, |case| case.index) else { return false };
        let case = &mut self.cases[place];
        if is_removed(case) {
            return false;
        }
        case.operation = &NOTHING;
        self.removed += 1;
        if self.removed > self.cases.len() / 2 {
            self.cases.retain(|case| !is_removed(case));
            self.order.clear();
            self.order.extend(0..self.cases.len());
            self.removed = 0;
        }
        true
    }
}

impl<'a> CaseList<'a> for Many<'a> {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn get(&self, at: usize) -> Case<'a> {
        self.cases[self.order[at]]
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.order.swap(one, other);
    }
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::{Case, CaseList, Cases, NOTHING, Receiver, Source};

    #[test]
    fn list_is_at_most_twice_as_long_as_the_cases_that_are_left() {
        let receiver = Receiver::<()> { source: Source::Never };
        assert!(!core::ptr::addr_eq(&raw const receiver, &raw const NOTHING));
        let mut cases = Cases::new();
        (0..100).for_each(|index| cases.push(Case { operation: &receiver, index }));
        for (count, index) in (0..100).map(|n| n * 37 % 100).enumerate() {
            assert!(cases.remove(index) && !cases.remove(index));
            let left = 99 - count;
            assert!((left..=2 * left).contains(&(cases.count + cases.many.len())));
            assert_eq!(cases.is_empty(), left == 0);
        }
    }
}
