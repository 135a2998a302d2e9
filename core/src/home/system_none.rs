//! What stands in place of `system` where programs cannot set the TLS register. Nothing but `is_writable` is called.

pub(super) type Signals = ();

pub(super) fn read() -> usize {
    0
}

/// # Safety
///
/// None is needed: this does nothing.
pub(super) unsafe fn write(_base: usize) {}

pub(super) fn is_writable() -> bool {
    false
}

pub(super) fn block_all() -> Signals {}

pub(super) fn restore(_mask: Signals) {}

pub(super) fn leave_restartable_sequences() {}

pub(super) fn futex_wait(_word: *const u32, _value: u32) {}

pub(super) fn futex_wake(_word: *const u32) {}
