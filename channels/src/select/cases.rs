//! The operations of a dynamic select: up to [`FEW`] in place, more in a `Vec`.

use crate::receiver::{Receiver, Source};
use crate::select::engine::{Case, FEW};

/// The placeholder in unused elements of [`Cases::few`].
static NOTHING: Receiver<()> = Receiver { source: Source::Never };

/// A list of cases.
///
/// It has no destructor that may use the borrowed endpoints: `Vec` promises the drop checker not to use them, while
/// `SmallVec` does not. So a select may be declared before the endpoints that it borrows.
#[derive(Clone)]
pub(crate) struct Cases<'a> {
    few: [Case<'a>; FEW],
    /// How many elements of `few` are used. It is 0 if all cases are in `many`.
    count: usize,
    many: Vec<Case<'a>>,
}

impl<'a> Cases<'a> {
    pub(crate) fn new() -> Cases<'a> {
        Cases { few: [Case { operation: &NOTHING, index: usize::MAX }; FEW], count: 0, many: Vec::new() }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [Case<'a>] {
        if self.many.is_empty() { &mut self.few[..self.count] } else { &mut self.many }
    }

    pub(crate) fn as_ref(&self) -> &[Case<'a>] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }

    pub(crate) fn push(&mut self, case: Case<'a>) {
        if self.many.is_empty() && self.count < FEW {
            self.few[self.count] = case;
            self.count += 1;
        } else {
            self.many.extend_from_slice(&self.few[..self.count]);
            self.count = 0;
            self.many.push(case);
        }
    }

    /// Removes a case. The others keep their order.
    pub(crate) fn remove(&mut self, place: usize) {
        if self.many.is_empty() {
            self.few.copy_within(place + 1..self.count, place);
            self.count -= 1;
        } else {
            self.many.remove(place);
        }
    }
}
