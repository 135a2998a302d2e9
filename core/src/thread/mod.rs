//! Green threads.
/// placeholder
pub struct Thread;
impl Thread {
    /// placeholder
    pub fn unpark(&self) {}
}
